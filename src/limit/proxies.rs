//! Proxies in front of the gateway, whose word for an address is taken.

use std::net::IpAddr;

/// A trusted proxy in the config is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`limit.trusted_proxies`: `{0}` is no address or network: write it as `10.0.0.7` or `10.0.0.0/8`"
)]
pub struct ProxyError(String);

/// A network of addresses.
#[derive(Debug, Clone, Copy)]
struct Network {
    address: u128,
    mask: u128,
}

/// The networks of trusted proxies.
#[derive(Debug)]
pub(super) struct Proxies(Vec<Network>);

impl Proxies {
    pub(super) fn new(written: &[String]) -> Result<Self, ProxyError> {
        let networks: Result<_, _> = written
            .iter()
            .map(|text| Network::parse(text).ok_or_else(|| ProxyError(text.clone())))
            .collect();
        Ok(Self(networks?))
    }

    /// The nearest address that is not a trusted proxy's. Each proxy adds the address that it sees
    /// at the end, so what stands before the first stranger may be invented.
    pub(super) fn address_of<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut address = peer.to_canonical();
        for entry in forwarded.rev() {
            if !self.trusts(address) {
                break;
            }
            let Ok(before) = entry.trim().parse::<IpAddr>() else {
                break;
            };
            address = before.to_canonical();
        }
        address
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let bits = bits_of(address);
        self.0
            .iter()
            .any(|network| bits & network.mask == network.address)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(full);
        if length > full {
            return None;
        }
        let host_bits = full - length;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self {
            address: bits_of(address) & mask,
            mask,
        })
    }
}

/// An address as a number; those of IPv4 lie where IPv6 has room for them.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|&text| text.to_owned()).collect();
        let proxies = Proxies::new(&trusted).unwrap();
        let peer = peer.parse().unwrap();
        proxies
            .address_of(peer, forwarded.iter().copied())
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", vec!["198.51.100.1"], "192.0.2.1"),
            ("10.1.2.3", vec!["198.51.100.1"], "198.51.100.1"),
            (
                "10.1.2.3",
                vec!["203.0.113.9", "198.51.100.1", " 10.9.9.9"],
                "198.51.100.1",
            ),
            ("127.0.0.1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("fd00::1", vec!["2001:db8::1"], "2001:db8::1"),
            ("10.1.2.3", vec!["unknown"], "10.1.2.3"),
            ("10.1.2.3", vec![], "10.1.2.3"),
            ("10.1.2.3", vec!["10.4.4.4"], "10.4.4.4"),
            ("::ffff:10.1.2.3", vec!["198.51.100.1"], "198.51.100.1"),
        ] {
            assert_eq!(
                address_of(&trusted, peer, &forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
        assert_eq!(address_of(&[], "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
        for wrong in ["10.0.0.0/33", "10.0.0", "proxy", "10.0.0.0/x", "::/129"] {
            assert!(Proxies::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}

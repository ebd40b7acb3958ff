//! The gateway that a client command talks to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::app::cli::GatewayArgs;
use crate::app::config::{self, Sources};
use crate::upstream::gateway::Gateway;

/// How long a health check may take.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

/// The gateway at `--url`, else at `TIDINGS_URL`, else where `serve` would listen; with the token of
/// `--token`, else of `TIDINGS_TOKEN`.
pub(super) fn of(args: &GatewayArgs) -> anyhow::Result<Gateway> {
    // Whether the server may listen there is its own question, not that of a client.
    let sources = Sources {
        insecure: true,
        ..Sources::of_process()
    };
    let url = match args.url.clone().or_else(|| sources.url()) {
        Some(url) => url,
        None => reachable(config::load(&sources)?.config.wire.listen),
    };
    let token = args.token.clone().or_else(|| sources.token());
    Ok(Gateway::new(&url)?.with_token(token))
}

/// The token of `--token`, else of `TIDINGS_TOKEN`.
pub(super) fn token(argument: Option<&String>) -> Option<String> {
    argument.cloned().or_else(|| Sources::of_process().token())
}

/// The address under which a listener on this machine is reached.
pub(super) fn reachable(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// `tidings healthcheck`: 0 if the gateway is alive, else 1.
pub(super) async fn health(gateway: &Gateway) -> anyhow::Result<u8> {
    match gateway.health(HEALTH_LIMIT).await {
        Ok(()) => super::screen::say("alive"),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_over_loopback() {
        for (listen, url) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), url);
        }
    }
}

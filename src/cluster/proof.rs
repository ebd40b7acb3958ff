//! The proof that a node sent a request: a header with the time, the address of the client that it
//! is sent for, and a signature over these, the request's line and the node that it is for.
//!
//! The time is that of Redis, which all nodes know, whatever their own clocks say. Bodies are not
//! signed: they stream. Whoever can change what nodes send each other reads it anyway.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use uuid::Uuid;

use crate::cluster::secrets::{Purpose, Secrets};
use crate::cluster::{Nodes, Shared};

/// The header.
pub(super) const RELAY: HeaderName = HeaderName::from_static("x-tidings-relay");

/// How old a proof may be, and how far clocks may seem to differ.
const AGE_MAX_MS: i64 = 30_000;

/// A request that a node sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The client for whom it was sent.
    pub client: IpAddr,
}

/// Whether a request says that a node sent it.
pub fn is_relayed<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(RELAY)
}

impl Nodes {
    /// What a request that says that a node sent it proves; nothing if it proves nothing. Counted.
    pub fn prove<B>(&self, request: &Request<B>) -> Option<Proven> {
        let own = self.0.as_ref()?;
        let header = request.headers().get(RELAY)?.to_str().ok()?;
        let now = own.store.redis()?.clock_ms();
        let line = (request.method(), request.uri());
        let proven = check(&own.secrets, (header, line), (own.id, now));
        let outcome = if proven.is_some() { "taken" } else { "refused" };
        own.metrics.taken(outcome);
        proven
    }
}

impl Shared {
    /// The proof for a request to a node, on behalf of a client or of nobody.
    pub(super) fn proof(
        &self,
        line: (&Method, &Uri),
        to: Uuid,
        client: Option<IpAddr>,
    ) -> Option<HeaderValue> {
        let now = self.store.redis()?.clock_ms();
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let signature = self
            .secrets
            .sign(Purpose::Request, &signed(line, to, client, now))?;
        format!("{now} {client} {signature}").parse().ok()
    }
}

fn check(
    secrets: &Secrets,
    (header, line): (&str, (&Method, &Uri)),
    (own, now): (Uuid, i64),
) -> Option<Proven> {
    let mut parts = header.split(' ');
    let at: i64 = parts.next()?.parse().ok()?;
    let client: IpAddr = parts.next()?.parse().ok()?;
    let signature = parts.next()?;
    let is_fresh = now.checked_sub(at)?.checked_abs()? <= AGE_MAX_MS;
    let text = signed(line, own, client, at);
    (is_fresh && secrets.verify(Purpose::Request, &text, signature)).then_some(Proven { client })
}

fn signed((method, uri): (&Method, &Uri), to: Uuid, client: IpAddr, at: i64) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{method}\0{path}\0{to}\0{client}\0{at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_request_to_one_node_for_a_while() {
        let secrets = Secrets::new(None);
        secrets.take(b"s");
        let (node, now) = (Uuid::new_v4(), 1_000_000);
        let uri: Uri = "/socket.io/?sid=a".parse().unwrap();
        let line = (&Method::GET, &uri);
        let client: IpAddr = "2001:db8::1".parse().unwrap();
        let text = signed(line, node, client, now);
        let signature = secrets.sign(Purpose::Request, &text).unwrap();
        let header = format!("{now} {client} {signature}");
        let proven = Some(Proven { client });
        let absolute: Uri = "http://10.0.0.1:3000/socket.io/?sid=a".parse().unwrap();
        for (line, node, now, expected) in [
            (line, node, now, proven),
            ((&Method::GET, &absolute), node, now, proven),
            (line, node, now + AGE_MAX_MS, proven),
            (line, node, now - AGE_MAX_MS, proven),
            (line, node, now + AGE_MAX_MS + 1, None),
            (line, node, i64::MIN, None),
            (line, Uuid::new_v4(), now, None),
            ((&Method::POST, &uri), node, now, None),
        ] {
            let found = check(&secrets, (&header, line), (node, now));
            assert_eq!(found, expected, "{line:?} {now}");
        }
        let moved = format!("{now} 127.0.0.1 {signature}");
        let stolen = format!("{now} {client} {}", &signature[1..]);
        for forged in [
            &moved,
            &stolen,
            "",
            "1 2 3",
            "x",
            &format!("{now} {client}"),
        ] {
            assert_eq!(
                check(&secrets, (forged, line), (node, now)),
                None,
                "{forged}"
            );
        }
    }
}

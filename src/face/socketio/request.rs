//! Engine.IO requests: what the query says, and what is refused in Engine.IO's own words.

use axum::body::Body;
use http::{Method, Response, StatusCode, header};

use crate::limit::Reached;

/// The version of Engine.IO that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Version 3: socket.io-client 1.x and 2.x.
    Eio3,
    /// Version 4: socket.io-client 3.x and later.
    Eio4,
}

/// How a client wants to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Polling,
    WebSocket,
}

/// The query of an Engine.IO request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    /// The session, unless this request opens one.
    pub(crate) sid: Option<&'a str>,
    /// python-engineio writes the transport first; others the version.
    pub(crate) is_pythons: bool,
    /// `recovery=0|1`: whether the client wants offsets, if it says so.
    pub(crate) recovery: Option<bool>,
    /// `cursors=1`: whether the client wants the place of each event, however it comes back.
    pub(crate) cursors: bool,
}

/// Why an Engine.IO request is refused. The codes are those of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    TransportUnknown,
    SessionUnknown,
    BadHandshakeMethod,
    BadRequest,
    ProtocolUnsupported,
    TooLarge,
    TooSlow,
    Draining,
    /// A page of this origin may not use the gateway.
    Origin,
    /// A limit is reached.
    Limit(Reached),
    /// Too much is being relayed to other nodes.
    RelaysFull,
}

impl<'a> Query<'a> {
    pub(crate) fn parse(method: &Method, query: Option<&'a str>) -> Result<Self, Refusal> {
        let (mut eio, mut transport, mut sid, mut recovery) = (None, None, None, None);
        let (mut is_pythons, mut cursors) = (false, false);
        for (key, value) in query
            .unwrap_or("")
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            match key {
                "EIO" => {
                    is_pythons = transport.is_some();
                    eio = eio.or(Some(value));
                }
                "transport" => transport = transport.or(Some(value)),
                "sid" => sid = sid.or(Some(value)),
                "recovery" => recovery = recovery.or(flag(value)),
                "cursors" => cursors |= flag(value) == Some(true),
                _ => {}
            }
        }
        let transport = match transport {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::TransportUnknown),
        };
        let protocol = match eio {
            Some("3") => Protocol::Eio3,
            Some("4") => Protocol::Eio4,
            _ => return Err(Refusal::ProtocolUnsupported),
        };
        if sid.is_none() && *method != Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        let allowed = match transport {
            Transport::Polling => *method == Method::GET || *method == Method::POST,
            Transport::WebSocket => *method == Method::GET,
        };
        if allowed {
            Ok(Self {
                protocol,
                transport,
                sid,
                is_pythons,
                recovery,
                cursors,
            })
        } else {
            Err(Refusal::BadRequest)
        }
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "0" | "false" => Some(false),
        "1" | "true" => Some(true),
        _ => None,
    }
}

impl Refusal {
    fn parts(self) -> (StatusCode, u8, &'static str) {
        match self {
            Self::TransportUnknown => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Self::SessionUnknown => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Self::BadHandshakeMethod => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Self::ProtocolUnsupported => {
                (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version")
            }
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                3,
                "Payload larger than maxPayload (`face.socketio.payload_bytes_max`)",
            ),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, 3, "This node is draining"),
            Self::RelaysFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                3,
                "This node relays as much as `cluster.relays_max` allows",
            ),
            Self::Origin => (StatusCode::FORBIDDEN, 4, "Forbidden"),
            Self::Limit(_) => (StatusCode::TOO_MANY_REQUESTS, 4, "Limit reached"),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                3,
                "Request body too slow (`wire.body_timeout`)",
            ),
        }
    }

    /// The refusal as Engine.IO clients know it.
    pub(crate) fn response(self) -> Response<Body> {
        let (status, code, message) = self.parts();
        let mut response = Response::builder().status(status);
        let body = if let Self::Limit(reached) = self {
            response = response.header(header::RETRY_AFTER, reached.retry_after_seconds());
            format!(r#"{{"code":{code},"message":"{reached}"}}"#)
        } else {
            format!(r#"{{"code":{code},"message":"{message}"}}"#)
        };
        response
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("the parts are valid")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_are_engine_ios_own() {
        let parse = |method: Method, query| Query::parse(&method, query);
        let cases = [
            (Method::GET, None, Refusal::TransportUnknown),
            (Method::GET, Some("EIO=4"), Refusal::TransportUnknown),
            (
                Method::GET,
                Some("EIO=4&transport=abc"),
                Refusal::TransportUnknown,
            ),
            (
                Method::GET,
                Some("transport=polling"),
                Refusal::ProtocolUnsupported,
            ),
            (
                Method::GET,
                Some("EIO=abc&transport=polling"),
                Refusal::ProtocolUnsupported,
            ),
            (
                Method::POST,
                Some("EIO=4&transport=polling"),
                Refusal::BadHandshakeMethod,
            ),
            (
                Method::PUT,
                Some("EIO=4&transport=polling&sid=a"),
                Refusal::BadRequest,
            ),
            (
                Method::POST,
                Some("EIO=4&transport=websocket&sid=a"),
                Refusal::BadRequest,
            ),
        ];
        for (method, query, refusal) in cases {
            assert_eq!(parse(method, query), Err(refusal), "{query:?}");
        }
        let query = parse(Method::GET, Some("EIO=3&transport=polling&t=x&sid=ab")).unwrap();
        assert_eq!((query.protocol, query.sid), (Protocol::Eio3, Some("ab")));
        assert!(!query.is_pythons);
        let query = parse(Method::GET, Some("transport=polling&EIO=4&t=1.5")).unwrap();
        assert!(query.is_pythons);
        assert_eq!(query.recovery, None);
        let query = parse(Method::GET, Some("EIO=4&transport=polling&recovery=0")).unwrap();
        assert_eq!((query.recovery, query.cursors), (Some(false), false));
        let query = parse(Method::GET, Some("cursors=1&EIO=4&transport=websocket")).unwrap();
        assert!(query.cursors);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(
            text in ".{0,60}",
            ours in "((EIO|transport|sid|recovery|cursors|t)=[34a-z01]{0,9}&?){0,6}",
        ) {
            for text in [&text, &ours] {
                for method in [Method::GET, Method::POST, Method::PUT] {
                    let _ = Query::parse(&method, Some(text));
                }
            }
        }
    }
}

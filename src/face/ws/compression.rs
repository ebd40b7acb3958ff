//! permessage-deflate (RFC 7692): what a client may offer, what is answered, and the state that
//! compresses.
//!
//! No message refers to one before it, in either direction: so a connection holds neither a
//! compressor nor an inflater between its messages, and all connections share a few idle ones.
//! Frames are compressed and inflated by `socket`.

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};
use yawc::{CompressionLevel, DeflateOptions, DeflatePool};

use crate::face::ws::config;

const NAME: &str = "permessage-deflate";

/// How hard is tried, of 9: JSON gains little beyond.
const LEVEL: u32 = 3;

/// What the clients of this face may be offered. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Compression {
    options: DeflateOptions,
}

/// What was agreed on with one client.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) options: DeflateOptions,
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub(super) answer: String,
}

impl Compression {
    /// Nothing if it is off.
    pub(super) fn new(config: &config::Compression) -> Option<Self> {
        let options = DeflateOptions {
            level: CompressionLevel::new(LEVEL),
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            compression_threshold: config.message_bytes_min.bytes(),
            pool: Some(DeflatePool::new(config.idle_max)),
            ..DeflateOptions::default()
        };
        config.enabled.then_some(Self { options })
    }

    /// Takes the first offer that can be kept.
    pub(super) fn agree(&self, headers: &HeaderMap) -> Option<Terms> {
        let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
        let mut offers = offers
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let answer = offers.find_map(answer)?;
        let options = self.options.clone();
        Some(Terms { options, answer })
    }
}

impl Terms {
    /// Tells the client.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let answer = HeaderValue::from_str(&self.answer);
        let answer = answer.expect("names and numbers are a header value");
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
    }
}

/// The answer to one offer; nothing if it is for something else, is malformed (RFC 7692, section
/// 7.1), or asks for a window that the compressor does not have.
fn answer(offer: &str) -> Option<String> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next()? != NAME {
        return None;
    }
    let mut seen = Vec::new();
    let mut window = None;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(value)) => {
                bits(value)?;
            }
            // The compressor has no window of 2^8 bytes.
            ("server_max_window_bits", Some(value)) => {
                window = Some(bits(value).filter(|bits| *bits > 8)?);
            }
            _ => return None,
        }
    }
    let answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
    Some(match window {
        Some(bits) => format!("{answer}; server_max_window_bits={bits}"),
        None => answer,
    })
}

/// The size of a window: 8 to 15, without leading zeros, quoted or not.
fn bits(value: &str) -> Option<u8> {
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let digits = quoted.unwrap_or(value);
    let is_number = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = digits.parse().ok().filter(|_| is_number)?;
    (8..=15).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn agreed(offers: &[&str]) -> Option<String> {
        let config = config::Compression {
            enabled: true,
            message_bytes_min: "1KiB".parse().unwrap(),
            idle_max: 1,
        };
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, offer.parse().unwrap());
        }
        let terms = Compression::new(&config).unwrap().agree(&headers)?;
        Some(terms.answer)
    }

    #[test]
    fn what_browsers_and_libraries_offer_is_taken_without_context() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=\"15\" ; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ] {
            assert_eq!(agreed(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
    }

    #[test]
    fn a_smaller_window_of_the_server_is_kept_to() {
        let offer = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
        let want = format!("{PLAIN}; server_max_window_bits=12");
        assert_eq!(agreed(&[offer]), Some(want));
    }

    #[test]
    fn offers_that_cannot_be_kept_are_passed_over() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate2",
            "permessage-deflate; unheard_of",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
        ] {
            assert_eq!(agreed(&[offer]), None, "{offer}");
        }
        let second = "permessage-deflate; server_max_window_bits=8, permessage-deflate";
        assert_eq!(agreed(&[second]).as_deref(), Some(PLAIN));
        assert_eq!(
            agreed(&["foo; a=\"b\"", "permessage-deflate"]).as_deref(),
            Some(PLAIN)
        );
    }
}

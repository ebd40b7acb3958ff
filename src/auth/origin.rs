//! Origins: which pages may use the gateway from a browser.
//!
//! Browsers let any page open a WebSocket to anywhere and send it with the page's `Origin`, so the
//! server has to look. A program that is no browser sends none, or what it likes.

use std::net::IpAddr;

/// An origin in the config is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`face.http.cors_origins`: `{0}` is no origin: write it as `https://host` or `*`")]
pub struct OriginError(String);

/// The pages that are let in.
#[derive(Debug, Clone)]
pub struct Origins {
    any: bool,
    /// In the form in which browsers send them.
    listed: Vec<String>,
}

/// Who asks, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The header `Origin`.
    pub origin: Option<&'a str>,
    /// The header `Host`.
    pub host: Option<&'a str>,
    /// Whether the connection comes from this machine.
    pub is_loopback: bool,
    /// Whether nothing can be had here without a credential that the client itself must show.
    pub needs_credential: bool,
}

impl Origins {
    /// The origins of a list; `*` is any.
    ///
    /// # Errors
    /// When one is malformed.
    pub fn new(listed: &[String]) -> Result<Self, OriginError> {
        let named = listed.iter().filter(|origin| *origin != "*");
        let parsed: Result<_, _> = named
            .map(|text| parse(text).ok_or_else(|| OriginError(text.clone())))
            .collect();
        Ok(Self {
            any: listed.iter().any(|origin| origin == "*"),
            listed: parsed?,
        })
    }

    /// Whether any page is let in.
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Whether the list names an origin.
    pub fn lists(&self, origin: &str) -> bool {
        parse(origin).is_some_and(|origin| self.listed.contains(&origin))
    }

    /// Whether a request is let in: its page is listed or is our own. Without `Origin` it comes
    /// from no browser: from this machine, or with a credential.
    pub fn admit(&self, asker: Asker<'_>) -> bool {
        let Some(origin) = asker.origin else {
            return asker.is_loopback || asker.needs_credential;
        };
        self.any || self.lists(origin) || is_our_own(origin, asker)
    }
}

/// Whether the page came from where its request goes to. A name that anybody may point at this
/// machine proves nothing (DNS rebinding): where no credential is needed, a request from this
/// machine counts only if it was sent to an address or to `localhost`.
fn is_our_own(origin: &str, asker: Asker<'_>) -> bool {
    let (Some(origin), Some(host)) = (parse(origin), asker.host) else {
        return false;
    };
    let host = host.to_ascii_lowercase();
    let is_same = ["http", "https"]
        .into_iter()
        .any(|scheme| parse(&format!("{scheme}://{host}")).as_deref() == Some(origin.as_str()));
    is_same && (asker.needs_credential || !asker.is_loopback || is_unmistakable(&host))
}

/// Whether a host cannot be somebody else's name for this machine.
fn is_unmistakable(host: &str) -> bool {
    let name = name_of(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// An origin in lower case and without the port that its scheme implies; nothing if it is none.
fn parse(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, host) = text.split_once("://")?;
    let implied = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let host = host.strip_suffix(implied).unwrap_or(host);
    let (name, port) = (name_of(host), &host[name_of(host).len()..]);
    let is_bare = name.starts_with('[') && name.ends_with(']');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let has_name = is_bare || (!name.is_empty() && name.bytes().all(allowed));
    let has_port = port.is_empty() || port[1..].parse::<u16>().is_ok();
    (has_name && has_port).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listed: &[&str]) -> Origins {
        let listed: Vec<String> = listed.iter().map(|&text| text.to_owned()).collect();
        Origins::new(&listed).unwrap()
    }

    /// Cross-site attempts against a gateway on loopback where nobody has to show who they are,
    /// whose own page is at 127.0.0.1:3000 and whose list holds `https://app.example`.
    #[test]
    fn pages_of_others_are_not_let_in() {
        let origins = origins(&["https://app.example", "http://localhost:5173"]);
        let here = Some("127.0.0.1:3000");
        for (origin, host) in [
            ("https://evil.example", here),
            ("null", here),
            ("", here),
            ("file://", here),
            ("https://app.example.evil.example", here),
            ("https://evil.example/https://app.example", here),
            ("https://app.example@evil.example", here),
            ("https://notapp.example", here),
            ("http://app.example", here),
            ("https://app.example:8443", here),
            ("https://app.example, https://evil.example", here),
            ("http://localhost:3000", here),
            ("http://127.0.0.1:3001", here),
            ("http://127.0.0.1.evil.example:3000", here),
            (
                "http://rebound.evil.example:3000",
                Some("rebound.evil.example:3000"),
            ),
            ("http://127.0.0.1:3000", None),
        ] {
            let asker = Asker {
                origin: Some(origin),
                host,
                is_loopback: true,
                needs_credential: false,
            };
            assert!(!origins.admit(asker), "{origin} to {host:?}");
        }
    }

    #[test]
    fn listed_pages_and_our_own_are_let_in() {
        let origins = origins(&["https://App.example:443", "http://localhost:5173"]);
        for (origin, host, needs_credential) in [
            ("https://app.example", "127.0.0.1:3000", false),
            ("HTTPS://APP.EXAMPLE", "127.0.0.1:3000", false),
            ("http://localhost:5173", "127.0.0.1:3000", false),
            ("http://127.0.0.1:3000", "127.0.0.1:3000", false),
            ("http://[::1]:3000", "[::1]:3000", false),
            ("http://localhost", "localhost", false),
            ("https://gw.example", "gw.example", true),
        ] {
            let asker = Asker {
                origin: Some(origin),
                host: Some(host),
                is_loopback: true,
                needs_credential,
            };
            assert!(origins.admit(asker), "{origin} to {host}");
        }
    }

    #[test]
    fn without_an_origin_a_credential_or_this_machine_is_needed() {
        let origins = origins(&["*"]);
        let admitted = |is_loopback, needs_credential| {
            let (origin, host) = (None, Some("gw.example"));
            origins.admit(Asker {
                origin,
                host,
                is_loopback,
                needs_credential,
            })
        };
        assert!(admitted(true, false) && admitted(false, true));
        assert!(!admitted(false, false));
    }

    #[test]
    fn what_is_no_origin_is_refused_in_the_config() {
        for text in [
            "app.example",
            "https://",
            "https://a/b",
            "ftp://a",
            "https://a:x",
            "",
        ] {
            assert!(Origins::new(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}

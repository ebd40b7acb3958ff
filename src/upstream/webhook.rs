//! Webhooks: a message is posted to somebody's address, signed, within a time.
//!
//! The signature is that of Standard Webhooks: the headers `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`. Addresses are called over https, and only where everybody may call: what a
//! name stands for is checked when the connection is made, so that a name cannot come to stand for
//! a machine inside; redirects are not followed. When a message is sent again is not decided here.

mod address;
mod signature;

use std::time::Duration;

use reqwest::{StatusCode, Url};

use self::address::{PublicOnly, is_public};
use self::signature::Key;

/// Longest address of a webhook, in bytes.
const ADDRESS_BYTES_MAX: usize = 2048;

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public ones, over https.
    Public,
    /// Also those of this machine and of private networks, and over plain http.
    Private,
}

/// Why an address is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("a webhook is an address such as `https://worker.example.com/tidings`")]
    NotAnAddress,
    /// It is not https.
    #[error("a webhook is called over https only")]
    NotHttps,
    /// It bears a name and a password.
    #[error("a webhook has no name or password in its address: its calls are signed")]
    Credentials,
    /// It is not public.
    #[error("a webhook must be at a public address, and `{0}` is not")]
    NotPublic(String),
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The key of the signature.
    #[error("the secret of webhooks has at least {0} bytes, or is `whsec_` and base64")]
    Secret(usize),
    /// The HTTP client could not be made.
    #[error("the HTTP client of webhooks could not be made: {0}")]
    Client(#[source] reqwest::Error),
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The other side refused it.
    #[error("it was refused with {0}")]
    Refused(u16),
    /// The other side failed.
    #[error("it was answered with {0}")]
    Failed(u16),
    /// No answer came in time.
    #[error("no answer came in {0:?}")]
    TimedOut(Duration),
    /// No connection could be made, it broke, or the name stands for no public address.
    #[error("the address cannot be reached")]
    Unreachable,
}

impl Failure {
    /// Whether the same message may be taken later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Failed(_) | Self::TimedOut(_) | Self::Unreachable => true,
            Self::Refused(_) => false,
        }
    }
}

/// What posts messages.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    key: Key,
    reach: Reach,
    timeout: Duration,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// By which it is known when it comes again.
    pub id: String,
    /// JSON.
    pub body: String,
}

impl Client {
    /// A client that signs with a secret.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(secret: &str, reach: Reach, timeout: Duration) -> Result<Self, ConfigError> {
        let key = Key::of(secret).ok_or(ConfigError::Secret(signature::SECRET_BYTES_MIN))?;
        let http = reqwest::Client::builder()
            .connect_timeout(timeout)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")));
        let http = match reach {
            Reach::Public => http.https_only(true).dns_resolver(PublicOnly),
            Reach::Private => http,
        };
        Ok(Self {
            http: http.build().map_err(ConfigError::Client)?,
            key,
            reach,
            timeout,
        })
    }

    /// An address, if it may be called.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn address(&self, text: &str) -> Result<Url, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::NotAnAddress);
        }
        let url: Url = text.parse().map_err(|_| AddressError::NotAnAddress)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(AddressError::NotAnAddress);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if self.reach == Reach::Private {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(AddressError::NotHttps);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_hidden = match host.trim_matches(['[', ']']).parse() {
            Ok(ip) => !is_public(ip),
            Err(_) => is_local_name(&host),
        };
        if is_hidden {
            return Err(AddressError::NotPublic(host));
        }
        Ok(url)
    }

    /// Posts a message once.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post(&self, url: &Url, message: &Message) -> Result<(), Failure> {
        let now = jiff::Timestamp::now().as_second();
        let signature = self.key.sign(&message.id, now, &message.body);
        let sent = self
            .http
            .post(url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(message.body.clone())
            .send()
            .await;
        // What is answered beside the status is not read.
        let status = sent.map_err(|error| self.failure(&error))?.status();
        if status.is_success() {
            return Ok(());
        }
        Err(match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Failure::Failed(status.as_u16())
            }
            _ if status.is_server_error() => Failure::Failed(status.as_u16()),
            _ => Failure::Refused(status.as_u16()),
        })
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            Failure::TimedOut(self.timeout)
        } else {
            Failure::Unreachable
        }
    }
}

/// Names that stand for this machine or its network wherever one is.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_below = |end: &str| name == end || name.ends_with(&format!(".{end}"));
    ["localhost", "local", "internal", "home.arpa"]
        .into_iter()
        .any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of the tests, long enough";

    fn client(reach: Reach) -> Client {
        Client::new(SECRET, reach, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn only_public_addresses_over_https_are_called() {
        let client = client(Reach::Public);
        for good in [
            "https://worker.example.com/tidings?a=1",
            "https://93.184.216.34/x",
            "https://[2606:2800:220:1::1]:8443/",
        ] {
            assert!(client.address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "worker",
            "ftp://example.com",
            "file:///etc/passwd",
            "http://worker.example.com",
            "https://user:pass@worker.example.com",
            "https://localhost/x",
            "https://LOCALHOST./x",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0/",
            "https://10.0.0.1/",
            "https://172.16.3.4/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            &format!("https://example.com/{}", "x".repeat(2048)),
        ] {
            assert!(client.address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn private_addresses_are_called_where_that_is_allowed() {
        let client = client(Reach::Private);
        assert!(client.address("http://127.0.0.1:8080/hook").is_ok());
        assert!(client.address("file:///etc/passwd").is_err());
        assert!(client.address("http://a:b@127.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_stands_for_this_machine_is_not_called() {
        let client = client(Reach::Public);
        let message = Message {
            id: "m".to_owned(),
            body: "{}".to_owned(),
        };
        // As if the check of the text had let it pass: the connection is not made either.
        let url = Url::parse("https://localhost:1/").unwrap();
        let failed = client.post(&url, &message).await.unwrap_err();
        assert_eq!(failed, Failure::Unreachable);
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Client::new("short", Reach::Public, Duration::from_secs(1)).is_err());
    }
}

//! Small documents of others: fetched whole, with a bound on everything.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest document.
const BYTES_MAX: usize = 1 << 20;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none that may be asked.
    #[error(
        "`{0}` is no address of a document: write it as `https://host/path` (`http` on this machine only)"
    )]
    Address(String),
    /// It could not be fetched.
    #[error("`{url}` could not be fetched: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
}

/// A document at an address.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    url: Url,
}

impl Source {
    /// The document at an address; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or is not encrypted and elsewhere.
    pub fn new(url: &str) -> Result<Self, Error> {
        let parsed = Url::parse(url).ok().filter(may_be_asked);
        let url = parsed.ok_or_else(|| Error::Address(url.to_owned()))?;
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unreachable(&url, &error))?;
        Ok(Self { client, url })
    }

    /// Fetches it as text.
    ///
    /// # Errors
    /// [`Error::Unreachable`], also for an answer that is no 200 or too large.
    pub async fn fetch(&self) -> Result<String, Error> {
        let failed = |error: reqwest::Error| unreachable(&self.url, &error.without_url());
        let refused = |why: String| Error::Unreachable {
            url: self.url.to_string(),
            why,
        };
        let response = self
            .client
            .get(self.url.clone())
            .send()
            .await
            .map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(refused(format!("the answer is {}", response.status())));
        }
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            if body.len() + piece.len() > BYTES_MAX {
                return Err(refused(format!("it has more than {BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        String::from_utf8(body).map_err(|_| refused("it is no text".to_owned()))
    }
}

fn unreachable(url: &Url, why: &dyn std::error::Error) -> Error {
    Error::Unreachable {
        url: url.to_string(),
        why: why.to_string(),
    }
}

fn may_be_asked(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_local,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_addresses_and_this_machine_are_asked() {
        for url in [
            "https://id.example/jwks",
            "http://127.0.0.1:9/jwks",
            "http://localhost/k",
        ] {
            assert!(Source::new(url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example/jwks",
            "file:///etc/passwd",
            "ftp://a/b",
            "jwks",
            "",
        ] {
            assert!(Source::new(url).is_err(), "{url}");
        }
    }
}

//! Who may enter, as the configuration says it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::auth::ApiKey;
use crate::quantity::ByteSize;

/// How somebody shows who they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether somebody has to show who they are.
    pub mode: Mode,
    /// Whether to listen beyond loopback although nobody has to show who they are.
    pub insecure: bool,
    /// Largest token or key that is looked at.
    pub token_bytes_max: ByteSize,
    /// How long before its token ends a client is told.
    #[serde(with = "crate::quantity::duration")]
    pub expiring_notice: Duration,
    /// Most revocations that hold at a time.
    pub revocations_max: usize,
    /// The API keys of producers; each holds a hash, not the key.
    pub keys: Vec<ApiKey>,
    /// A file with more of them; `keys.toml` in the data directory if nothing is said.
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// Tokens.
    pub jwt: Jwt,
}

/// Whether somebody has to show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody has to.
    None,
    /// By a token or an API key.
    Token,
}

/// Which JSON Web Tokens are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The secret of HS256, HS384 and HS512.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file with the public key, in PEM: RSA, EC or Ed25519.
    #[serde(default)]
    pub public_key_file: Option<PathBuf>,
    /// Where the issuer's public keys are.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// How often they are fetched again.
    #[serde(with = "crate::quantity::duration")]
    pub jwks_refresh_interval: Duration,
    /// Least time between two fetches.
    #[serde(with = "crate::quantity::duration")]
    pub jwks_retry_interval: Duration,
    /// How far clocks may differ.
    #[serde(with = "crate::quantity::duration")]
    pub leeway: Duration,
    /// What `iss` must be.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What `aud` must be or hold.
    #[serde(default)]
    pub audience: Option<String>,
}

impl Jwt {
    /// The keys under which a source of keys is configured.
    pub fn sources(&self) -> Vec<&'static str> {
        [
            ("secret", self.secret.is_some()),
            ("public_key_file", self.public_key_file.is_some()),
            ("jwks_url", self.jwks_url.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect()
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

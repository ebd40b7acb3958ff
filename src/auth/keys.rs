//! The keys that tokens are checked with. Each is for one family of algorithms.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::auth::Jwt;

/// Fewest bytes of a secret: those of the shortest hash that it is used with (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Most keys of an issuer.
const KEYS_MAX: usize = 64;

/// Longest id of a key, in bytes.
const ID_BYTES_MAX: usize = 255;

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
const EC: &[Algorithm] = &[Algorithm::ES256, Algorithm::ES384];
const ED: &[Algorithm] = &[Algorithm::EdDSA];

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is too short.
    #[error(
        "the secret has {0} bytes: use 32 or more, for example what `openssl rand -base64 48` prints"
    )]
    ShortSecret(usize),
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The file holds no key that is known.
    #[error("`{0}` holds no public key in PEM: give an RSA, EC (P-256, P-384) or Ed25519 key")]
    NotPem(String),
    /// The document is no set of keys.
    #[error("this is no JSON Web Key Set: {0}")]
    NotKeys(String),
    /// None of the keys in the document can be used.
    #[error("the JSON Web Key Set holds no key for RS, ES or EdDSA signatures")]
    NoneUsable,
}

/// A key, and the algorithms that it may be used with.
pub(super) struct Key {
    pub(super) decoding: DecodingKey,
    pub(super) algorithms: &'static [Algorithm],
}

/// The keys at one time.
#[derive(Default)]
struct Ring {
    /// The only key, if keys have no names here.
    nameless: Option<Arc<Key>>,
    by_id: HashMap<String, Arc<Key>>,
}

/// The keys that tokens are checked with. Those of an issuer are handed in, now and then anew.
pub struct Keys {
    ring: RwLock<Ring>,
    /// Whether they come from an issuer's address.
    are_fetched: bool,
    /// Somebody showed a token whose key is not known.
    wanted: Notify,
    /// Keys were handed in.
    installed: Notify,
}

impl Keys {
    /// The keys that the config names; nothing if it names none.
    ///
    /// # Errors
    /// When the secret or the file cannot be used.
    pub(super) fn open(config: &Jwt) -> Result<Option<Self>, KeyError> {
        let nameless = match (&config.secret, &config.public_key_file) {
            (Some(secret), _) => Some(of_secret(secret.reveal())?),
            (None, Some(path)) => Some(of_file(path)?),
            (None, None) => None,
        };
        let are_fetched = nameless.is_none() && config.jwks_url.is_some();
        if nameless.is_none() && !are_fetched {
            return Ok(None);
        }
        Ok(Some(Self {
            ring: RwLock::new(Ring {
                nameless: nameless.map(Arc::new),
                by_id: HashMap::new(),
            }),
            are_fetched,
            wanted: Notify::new(),
            installed: Notify::new(),
        }))
    }

    /// The key for a token. The id in a token is looked up among those that are known, and used
    /// for nothing else.
    pub(super) fn find(&self, id: Option<&str>) -> Option<Arc<Key>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &ring.nameless {
            return Some(Arc::clone(key));
        }
        match id {
            Some(id) => ring.by_id.get(id).cloned(),
            None if ring.by_id.len() == 1 => ring.by_id.values().next().cloned(),
            None => None,
        }
    }

    /// Takes the keys of an issuer in place of those before. Returns how many can be used.
    ///
    /// # Errors
    /// When there are none; those before stay then.
    pub fn install(&self, document: &str) -> Result<usize, KeyError> {
        let by_id = parse(document)?;
        let count = by_id.len();
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.by_id = by_id;
        drop(ring);
        self.installed.notify_waiters();
        Ok(count)
    }

    /// Returns when a key is missed that a fetch may bring.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Asks for a fetch, and waits a moment for its keys. Returns whether any came.
    pub(super) async fn hope(&self, limit: Duration) -> bool {
        if !self.are_fetched {
            return false;
        }
        let installed = self.installed.notified();
        tokio::pin!(installed);
        installed.as_mut().enable();
        self.wanted.notify_one();
        tokio::time::timeout(limit, installed).await.is_ok()
    }
}

fn of_secret(secret: &str) -> Result<Key, KeyError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(KeyError::ShortSecret(secret.len()));
    }
    Ok(Key {
        decoding: DecodingKey::from_secret(secret.as_bytes()),
        algorithms: HMAC,
    })
}

fn of_file(path: &Path) -> Result<Key, KeyError> {
    let shown = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|error| KeyError::Unreadable {
        path: shown(),
        why: error.to_string(),
    })?;
    of_pem(&pem).ok_or_else(|| KeyError::NotPem(shown()))
}

/// The key in a PEM text; what sort it is the text says itself.
fn of_pem(pem: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(pem).ok()?;
    if text.contains("PRIVATE KEY") {
        return None;
    }
    let kinds: [(Result<DecodingKey, _>, &'static [Algorithm]); 3] = [
        (DecodingKey::from_rsa_pem(pem), RSA),
        (DecodingKey::from_ec_pem(pem), EC),
        (DecodingKey::from_ed_pem(pem), ED),
    ];
    kinds.into_iter().find_map(|(key, algorithms)| {
        key.ok().map(|decoding| Key {
            decoding,
            algorithms,
        })
    })
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A key as an issuer writes it (RFC 7517).
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The keys of a document that can be used, by id. One without an id is known by the empty one.
fn parse(document: &str) -> Result<HashMap<String, Arc<Key>>, KeyError> {
    let document: Document<'_> =
        serde_json::from_str(document).map_err(|error| KeyError::NotKeys(error.to_string()))?;
    let mut by_id = HashMap::new();
    for written in document.keys.iter().take(KEYS_MAX) {
        let Ok(written) = serde_json::from_str::<Written>(written.get()) else {
            continue;
        };
        let id = written.kid.clone().unwrap_or_default();
        if id.len() > ID_BYTES_MAX {
            continue;
        }
        if let Some(key) = written.key() {
            by_id.insert(id, Arc::new(key));
        }
    }
    if by_id.is_empty() {
        return Err(KeyError::NoneUsable);
    }
    Ok(by_id)
}

impl Written {
    /// The key, if it is a public one for signatures of ours. A secret in a public document is
    /// none.
    fn key(&self) -> Option<Key> {
        if self
            .used_for
            .as_deref()
            .is_some_and(|used_for| used_for != "sig")
        {
            return None;
        }
        let (decoding, family) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (self.n.as_deref()?, self.e.as_deref()?);
                (DecodingKey::from_rsa_components(n, e).ok()?, RSA)
            }
            ("EC", Some(curve)) => {
                let algorithms = match curve {
                    "P-256" => &EC[..1],
                    "P-384" => &EC[1..],
                    _ => return None,
                };
                let (x, y) = (self.x.as_deref()?, self.y.as_deref()?);
                (DecodingKey::from_ec_components(x, y).ok()?, algorithms)
            }
            ("OKP", Some("Ed25519")) => {
                let x = self.x.as_deref()?;
                URL_SAFE_NO_PAD.decode(x).ok().filter(|x| x.len() == 32)?;
                (DecodingKey::from_ed_components(x).ok()?, ED)
            }
            _ => return None,
        };
        let algorithms = match self.alg.as_deref() {
            None => family,
            Some(alg) => {
                let at = family
                    .iter()
                    .position(|known| name_of(*known) == Some(alg))?;
                &family[at..=at]
            }
        };
        Some(Key {
            decoding,
            algorithms,
        })
    }
}

/// The algorithm of a name in a token; others, `none` above all, are not known.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    [HMAC, RSA, EC, ED]
        .into_iter()
        .flatten()
        .copied()
        .find(|known| name_of(*known) == Some(name))
}

const fn name_of(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => return None,
    })
}

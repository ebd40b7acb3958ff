//! API keys: long random texts for producers, of which only a hash is kept.
//!
//! `tdk_<id>_<secret>`: the id finds the entry, the secret's hash is compared in constant time. The
//! secret has 256 random bits, so that a plain hash keeps it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::auth::{Patterns, Principal, Role, Secret, Subject};

/// What every key begins with, so that people and scanners know one.
const PREFIX: &str = "tdk_";

/// What the text of a hash begins with.
const HASH_PREFIX: &str = "sha256:";

/// Most keys.
const KEYS_MAX: usize = 10_000;

/// The SHA-256 of a key's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hash([u8; 32]);

/// What an API key may be there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyRole {
    #[default]
    Producer,
    Admin,
}

/// An API key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What finds it; not secret.
    id: String,
    hash: Hash,
    /// What people call it.
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: KeyRole,
    /// What it may publish to.
    #[serde(default)]
    pub_topics: Patterns,
    /// What it may follow besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_topics: Option<Patterns>,
}

/// What a new API key is to be like.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What people call it.
    pub name: String,
    /// Whether it administers the gateway.
    pub is_admin: bool,
    /// What it may publish to.
    pub pub_topics: Patterns,
    /// What it may follow besides.
    pub sub_topics: Option<Patterns>,
}

/// Why a list of API keys is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// The text is no list of keys.
    #[error("this is no list of API keys: {0}")]
    NotKeys(String),
    /// There are too many.
    #[error("there are more than {KEYS_MAX} API keys")]
    TooMany,
}

/// A file of keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keys: Vec<ApiKey>,
}

impl NewApiKey {
    /// Makes the key. What is to be kept, and the text that is told once.
    pub fn make(self) -> (ApiKey, Secret) {
        let random = |()| *Uuid::new_v4().as_bytes();
        let id = URL_SAFE_NO_PAD
            .encode(&random(())[..6])
            .replace(['_', '-'], "0");
        // A UUID of version 4 has 122 random bits; three of them have more than are kept.
        let mut digest = Sha256::new();
        for part in [(); 3].map(random) {
            digest.update(part);
        }
        let secret = URL_SAFE_NO_PAD.encode(digest.finalize());
        let kept = ApiKey {
            hash: Hash::of(&secret),
            name: self.name,
            role: if self.is_admin {
                KeyRole::Admin
            } else {
                KeyRole::Producer
            },
            pub_topics: self.pub_topics,
            sub_topics: self.sub_topics,
            id: id.clone(),
        };
        (kept, format!("{PREFIX}{id}_{secret}").into())
    }
}

impl ApiKey {
    /// What finds it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The keys in the text of a file.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Vec<Self>, ApiKeyError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ApiKeyError::NotKeys(error.message().to_owned()))?;
        Ok(file.keys)
    }

    /// The text of a file that holds these keys.
    pub fn write(keys: Vec<Self>) -> String {
        toml::to_string(&File { keys }).expect("keys are TOML")
    }

    fn principal(&self) -> Principal {
        Principal {
            subject: Subject::Key(self.id.as_str().into()),
            role: match self.role {
                KeyRole::Producer => Role::Producer,
                KeyRole::Admin => Role::Admin,
            },
            sub_topics: self.sub_topics.clone(),
            pub_topics: self.pub_topics.clone(),
            ..Principal::anyone()
        }
    }
}

/// The keys that are taken.
#[derive(Default)]
pub(super) struct ApiKeys(RwLock<HashMap<String, (Hash, Arc<Principal>)>>);

impl ApiKeys {
    /// Takes these keys in place of those before.
    pub(super) fn install(&self, keys: &[ApiKey]) -> Result<(), ApiKeyError> {
        if keys.len() > KEYS_MAX {
            return Err(ApiKeyError::TooMany);
        }
        let entry = |key: &ApiKey| (key.id.clone(), (key.hash, Arc::new(key.principal())));
        let entries = keys.iter().map(entry).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    /// The principal of a key, if there is one.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Principal>> {
        let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
        let shown = Hash::of(secret);
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (kept, principal) = keys.get(id)?;
        bool::from(kept.0.ct_eq(&shown.0)).then(|| Arc::clone(principal))
    }

    /// Whether the key of this id is still among them.
    pub(super) fn holds(&self, id: &str) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.contains_key(id)
    }
}

/// Whether a text looks like an API key rather than a token.
pub(super) fn is_api_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl Hash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hash)")
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHY: &str =
            "a hash is `sha256:` and 64 hexadecimal digits, as `tidings token key` prints it";
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(WHY)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(WHY);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| WHY)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_key(name: &str) -> (ApiKey, Secret) {
        let new = NewApiKey {
            name: name.to_owned(),
            is_admin: false,
            pub_topics: Patterns::all(),
            sub_topics: None,
        };
        new.make()
    }

    #[test]
    fn a_key_is_known_again_from_its_file() {
        let (kept, key) = new_key("worker");
        let (other, _) = new_key("other");
        let text = ApiKey::write(vec![other, kept.clone()]);
        let secret = key
            .reveal()
            .strip_prefix(&format!("{PREFIX}{}_", kept.id()));
        assert!(!text.contains(secret.unwrap()));
        let keys = ApiKeys::default();
        keys.install(&ApiKey::parse(&text).unwrap()).unwrap();
        let principal = keys.find(key.reveal()).unwrap();
        assert_eq!(principal.name().unwrap(), format!("key:{}", kept.id()));
        assert_eq!(principal.role, Role::Producer);
        for wrong in [
            format!("{}x", key.reveal()),
            key.reveal()[..key.reveal().len() - 1].to_owned(),
            format!("tdk_{}_", kept.id()),
            format!("tdk_{}_{}", kept.id(), kept.hash),
            "tdk_".to_owned(),
            String::new(),
        ] {
            assert!(keys.find(&wrong).is_none(), "{wrong}");
        }
        keys.install(&[]).unwrap();
        assert!(keys.find(key.reveal()).is_none());
    }

    #[test]
    fn a_file_that_is_no_list_of_keys_is_refused() {
        for text in [
            "[[keys]]\nid = \"a\"\nhash = \"abc\"\n",
            "[[keys]]\nid = \"a\"\n",
            "[[keys]]\nid = \"a\"\nhash = \"sha256:\"\nsecret = 1\n",
            "keys = 5",
        ] {
            assert!(ApiKey::parse(text).is_err(), "{text}");
        }
        assert!(ApiKey::parse("").unwrap().is_empty());
    }
}

//! The secret that nodes share, and what is signed with it.

use std::sync::{PoisonError, RwLock};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::auth::Secret;

/// Bytes of a signature: what cannot be tried offline needs no more.
const SIGNATURE_BYTES: usize = 15;

/// Most secrets that are taken: the newest, and the one before it.
const KEYS_MAX: usize = 2;

/// What something is signed as, so that no signature is good for another thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The id of a session.
    Sid,
    /// A request of a node.
    Request,
}

impl Purpose {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Sid => b"sid\0",
            Self::Request => b"request\0",
        }
    }
}

/// The secrets of the nodes.
pub(super) struct Secrets {
    /// It is in the config, and not in Redis.
    is_configured: bool,
    /// What is proposed if there is none.
    own: Vec<u8>,
    keys: RwLock<Vec<(Vec<u8>, Key)>>,
}

impl Secrets {
    pub(super) fn new(configured: Option<&Secret>) -> Self {
        let secrets = Self {
            is_configured: configured.is_some(),
            own: [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()]
                .iter()
                .flat_map(|random| *random.as_bytes())
                .collect(),
            keys: RwLock::default(),
        };
        if let Some(configured) = configured {
            secrets.take(configured.reveal().as_bytes());
        }
        secrets
    }

    /// What is proposed if there is none yet: the one that is known, so that it outlives a Redis
    /// that forgot it. Empty if it is not to be kept there.
    pub(super) fn proposal(&self) -> Vec<u8> {
        if self.is_configured {
            return Vec::new();
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.first()
            .map_or_else(|| self.own.clone(), |(secret, _)| secret.clone())
    }

    /// The nodes have this secret now.
    pub(super) fn take(&self, secret: &[u8]) {
        if secret.is_empty() {
            return;
        }
        let is_known = |keys: &[(Vec<u8>, Key)]| keys.first().is_some_and(|(own, _)| own == secret);
        if is_known(&self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|(known, _)| known != secret);
        keys.insert(0, (secret.to_vec(), Key::new(HMAC_SHA256, secret)));
        keys.truncate(KEYS_MAX);
    }

    /// The signature of a text; nothing while no secret is known.
    pub(super) fn sign(&self, purpose: Purpose, text: &str) -> Option<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.first().map(|(_, key)| signature(key, purpose, text))
    }

    /// Whether it is the signature of a text.
    pub(super) fn verify(&self, purpose: Purpose, text: &str, given: &str) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|(_, key)| {
            let right = signature(key, purpose, text);
            right.as_bytes().ct_eq(given.as_bytes()).into()
        })
    }
}

fn signature(key: &Key, purpose: Purpose, text: &str) -> String {
    let signed = sign(key, &[purpose.as_bytes(), text.as_bytes()].concat());
    URL_SAFE_NO_PAD.encode(&signed.as_ref()[..SIGNATURE_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_text_its_purpose_and_its_secret() {
        let secrets = Secrets::new(None);
        assert_eq!(secrets.sign(Purpose::Sid, "a"), None, "none is known yet");
        assert_eq!(secrets.proposal().len(), 48);
        secrets.take(b"one");
        let signed = secrets.sign(Purpose::Sid, "a").unwrap();
        assert!(secrets.verify(Purpose::Sid, "a", &signed));
        for (purpose, text, given) in [
            (Purpose::Sid, "b", signed.as_str()),
            (Purpose::Request, "a", &signed),
            (Purpose::Sid, "a", &signed[1..]),
            (Purpose::Sid, "a", ""),
        ] {
            assert!(!secrets.verify(purpose, text, given), "{purpose:?} {text}");
        }
        secrets.take(b"two");
        assert_eq!(secrets.proposal(), b"two");
        assert!(
            secrets.verify(Purpose::Sid, "a", &signed),
            "the one before it"
        );
        assert_ne!(secrets.sign(Purpose::Sid, "a").unwrap(), signed);
        secrets.take(b"three");
        assert!(!secrets.verify(Purpose::Sid, "a", &signed));
        let configured = Secrets::new(Some(&String::from("three").into()));
        assert!(configured.proposal().is_empty(), "it is not to be in Redis");
        let signed = secrets.sign(Purpose::Sid, "a").unwrap();
        assert!(configured.verify(Purpose::Sid, "a", &signed));
    }
}

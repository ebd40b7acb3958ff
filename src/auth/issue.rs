//! Making tokens, for `tidings token` and for tests.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use crate::auth::{Patterns, Secret};

/// What a token is to say.
#[derive(Debug, Clone, Serialize)]
pub struct Issue {
    /// The user.
    pub sub: String,
    /// `user`, `producer` or `admin`; none is a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What they may subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_topics: Option<Patterns>,
    /// What they may publish to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pub_topics: Option<Patterns>,
    /// Who makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
}

/// What signs a token.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

/// Why a token could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The file holds no key.
    #[error(
        "this is no private key in PEM: give an RSA, EC (P-256, P-384) or Ed25519 key in PKCS#8"
    )]
    Key,
    /// The key did not sign.
    #[error("the key does not sign: {0}")]
    Sign(String),
}

impl SigningKey {
    /// A secret: HS256.
    pub fn of_secret(secret: &Secret) -> Self {
        Self {
            key: EncodingKey::from_secret(secret.reveal().as_bytes()),
            algorithm: Algorithm::HS256,
        }
    }

    /// A private key in PEM: RS256, ES256, ES384 or `EdDSA`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn of_pem(pem: &[u8]) -> Result<Self, IssueError> {
        let kinds = [
            (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
            (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
            (EncodingKey::from_ec_pem(pem), Algorithm::ES384),
            (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        ];
        let mut keys = kinds.into_iter().filter_map(|(key, algorithm)| {
            let key = key.ok()?;
            Some(Self { key, algorithm })
        });
        // What curve a key is on shows when it signs.
        keys.find(|key| jsonwebtoken::crypto::sign(b"", &key.key, key.algorithm).is_ok())
            .ok_or(IssueError::Key)
    }
}

impl Issue {
    /// The token, valid from now on for a while, with an id of its own.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, key: &SigningKey, valid: Duration) -> Result<String, IssueError> {
        #[derive(Serialize)]
        struct Signed<'a> {
            #[serde(flatten)]
            issue: &'a Issue,
            jti: String,
            iat: i64,
            exp: i64,
        }
        let iat = jiff::Timestamp::now().as_second();
        let valid = i64::try_from(valid.as_secs()).unwrap_or(i64::MAX);
        let claims = Signed {
            issue: self,
            jti: Uuid::new_v4().to_string(),
            iat,
            exp: iat.saturating_add(valid),
        };
        jsonwebtoken::encode(&Header::new(key.algorithm), &claims, &key.key)
            .map_err(|error| IssueError::Sign(error.to_string()))
    }
}

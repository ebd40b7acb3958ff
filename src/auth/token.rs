//! JSON Web Tokens (RFC 7519, RFC 8725): a signature of a key that we know, then the claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::claims::{Claims, Expected};
use crate::auth::keys::{Keys, algorithm};
use crate::auth::{Jwt, Principal};

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It is larger than is looked at.
    #[error("the token is larger than `auth.token_bytes_max` allows")]
    TooLong,
    /// It is signed in a way that does not belong to its key.
    #[error("the token's `alg` is not one that its key is for")]
    Algorithm,
    /// Its key is not known.
    #[error("the token is signed with a key that is not known here")]
    KeyUnknown,
    /// Its signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("the token's claims are not as expected: {0}")]
    Claims(String),
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is by somebody else.
    #[error("the token's `iss` is not the one that is expected here")]
    Issuer,
    /// It is for somebody else.
    #[error("the token's `aud` is not the one that is expected here (`auth.jwt.audience`)")]
    Audience,
}

impl TokenError {
    /// The name in metrics and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::KeyUnknown => "key_unknown",
            Self::Signature => "signature",
            Self::Claims(_) => "claims",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }
}

/// The header of a token, as far as it matters: what else it offers (a key, an address of one) is
/// not even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// Checks tokens.
pub(super) struct Verifier {
    pub(super) keys: Keys,
    expected: Expected,
    bytes_max: usize,
}

impl Verifier {
    pub(super) fn new(keys: Keys, config: &Jwt, bytes_max: usize) -> Self {
        let leeway = i64::try_from(config.leeway.as_secs()).unwrap_or(i64::MAX / 4);
        Self {
            keys,
            expected: Expected {
                leeway,
                issuer: config.issuer.clone(),
                audience: config.audience.clone(),
            },
            bytes_max,
        }
    }

    /// Seconds by which clocks may differ.
    pub(super) const fn leeway(&self) -> i64 {
        self.expected.leeway
    }

    /// The principal that a token names at a time (seconds since the Unix epoch).
    pub(super) fn verify(&self, token: &str, now: i64) -> Result<Principal, TokenError> {
        if token.len() > self.bytes_max {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or(TokenError::Malformed("it has no three parts"))?;
        let (header, body) = signed
            .split_once('.')
            .filter(|(_, body)| !body.contains('.'))
            .ok_or(TokenError::Malformed("it has no three parts"))?;
        let header: Header = object(&decoded(header)?)
            .map_err(|_| TokenError::Malformed("its header is not understood"))?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed(
                "its header has a `crit` that is not known",
            ));
        }
        let algorithm = algorithm(&header.alg).ok_or(TokenError::Algorithm)?;
        let key = self
            .keys
            .find(header.kid.as_deref())
            .ok_or(TokenError::KeyUnknown)?;
        if !key.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let is_good =
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.decoding, algorithm);
        if !is_good.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        Claims::parse(&decoded(body)?)?.admit(&self.expected, now)
    }
}

/// What an object says. A list of the same values in the same order would be read as well.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde::de::Error::custom("an object is expected"));
    }
    serde_json::from_slice(text)
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed("it is not base64url"))
}

#[cfg(test)]
mod tests;

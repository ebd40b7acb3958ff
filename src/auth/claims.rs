//! The claims of a token: exactly typed, no more lenient than they must be.

use serde::{Deserialize, Deserializer};

use crate::auth::token::object;
use crate::auth::{Patterns, Principal, Role, Subject, TokenError};

/// Longest `sub`, `jti` and `email`, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// A time in a token, in whole seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const LATEST: f64 = 1e15;
        let number = serde_json::Number::deserialize(deserializer)?;
        let seconds = number.as_f64().filter(|at| (0.0..LATEST).contains(at));
        let Some(seconds) = seconds else {
            return Err(serde::de::Error::custom("a time in seconds is expected"));
        };
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        Ok(Self(seconds as i64))
    }
}

/// Who a token is for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The claims that are looked at; others are left alone. `null` is no value.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    pub(super) exp: Seconds,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<Seconds>,
    #[serde(default, deserialize_with = "given")]
    iat: Option<Seconds>,
    #[serde(default, deserialize_with = "given")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "given")]
    role: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default, deserialize_with = "given")]
    sub_topics: Option<Patterns>,
    #[serde(default, deserialize_with = "given")]
    pub_topics: Option<Patterns>,
    #[serde(default, deserialize_with = "given")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "given")]
    aud: Option<Audience>,
}

/// What is expected of claims.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// Seconds by which clocks may differ.
    pub(super) leeway: i64,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
}

impl Claims {
    /// The claims in the body of a token whose signature is good.
    pub(super) fn parse(body: &[u8]) -> Result<Self, TokenError> {
        object(body).map_err(|error| TokenError::Claims(error.to_string()))
    }

    /// The principal, if the claims are as expected at this time.
    pub(super) fn admit(self, expected: &Expected, now: i64) -> Result<Principal, TokenError> {
        let leeway = expected.leeway;
        if now >= self.exp.0.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        if [self.nbf, self.iat]
            .into_iter()
            .flatten()
            .any(|at| at.0 > now + leeway)
        {
            return Err(TokenError::NotYet);
        }
        if expected.issuer.is_some() && expected.issuer != self.iss {
            return Err(TokenError::Issuer);
        }
        if !is_for(self.aud.as_ref(), expected.audience.as_deref()) {
            return Err(TokenError::Audience);
        }
        let texts = [Some(&self.sub), self.jti.as_ref(), self.email.as_ref()];
        let is_text = |text: &&String| {
            (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        if !texts.iter().flatten().all(is_text) {
            let why = "`sub`, `jti` and `email` have 1 to 255 bytes and no control characters";
            return Err(TokenError::Claims(why.to_owned()));
        }
        Ok(Principal {
            subject: Subject::User(self.sub.into()),
            role: match self.role.as_deref() {
                Some("admin") => Role::Admin,
                Some("producer") => Role::Producer,
                // A role that means something elsewhere means nothing here.
                _ => Role::User,
            },
            sub_topics: self.sub_topics,
            pub_topics: self.pub_topics.unwrap_or_default(),
            token_id: self.jti.map(Into::into),
            issued_at: self.iat.map(|at| at.0),
            expires_at: Some(self.exp.0),
            email: self.email.map(Into::into),
        })
    }
}

/// A token that says whom it is for is refused by those who do not know that they are meant
/// (RFC 7519, section 4.1.3).
fn is_for(given: Option<&Audience>, expected: Option<&str>) -> bool {
    match (given, expected) {
        (None, None) => true,
        (Some(Audience::One(one)), Some(us)) => one == us,
        (Some(Audience::Many(many)), Some(us)) => many.iter().any(|one| one == us),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

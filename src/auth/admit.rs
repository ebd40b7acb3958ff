//! Admission: from what somebody shows to who they are.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::auth::api_key::{ApiKeys, is_api_key};
use crate::auth::keys::Keys;
use crate::auth::token::Verifier;
use crate::auth::{
    ApiKey, ApiKeyError, Config, Credentials, KeyError, Metrics, Mode, Principal, Revocations,
    Subject, TokenError,
};

/// How long a token with an unknown key waits for the issuer's newest keys.
const KEYS_WAIT_MAX: Duration = Duration::from_secs(3);

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error(
        "a credential is needed: a token as `Authorization: Bearer` or Socket.IO `auth.token`, or \
         an API key as `X-API-Key`"
    )]
    Missing,
    /// A token stood in the query of a request that may not have it there.
    #[error(
        "`?token=` is for WebSocket and event streams only: send the token as `Authorization: \
         Bearer`"
    )]
    Misplaced,
    /// The token is not taken.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no such API key.
    #[error("the API key is not known here")]
    ApiKey,
    /// It was taken back.
    #[error("the credential was revoked")]
    Revoked,
    /// Tokens are not configured.
    #[error("tokens are not configured here: set `auth.jwt.secret` or another key in `auth.jwt`")]
    NotConfigured,
}

impl Refusal {
    /// The name in metrics and on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Misplaced => "misplaced",
            Self::Token(error) => error.as_str(),
            Self::ApiKey => "api_key",
            Self::Revoked => "revoked",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// Who may enter. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Shared>);

struct Shared {
    mode: Mode,
    insecure: bool,
    expiring_notice: Duration,
    anyone: Arc<Principal>,
    verifier: Option<Verifier>,
    configured_keys: Vec<ApiKey>,
    api_keys: ApiKeys,
    revocations: Revocations,
    metrics: Metrics,
    warned: OnceLock<()>,
}

impl Auth {
    /// Makes the part; reads the secret or the file of the public key.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(config: Config, metrics: Metrics) -> Result<Self, KeyError> {
        let bytes_max = config.token_bytes_max.bytes();
        let verifier =
            Keys::open(&config.jwt)?.map(|keys| Verifier::new(keys, &config.jwt, bytes_max));
        let auth = Self(Arc::new(Shared {
            mode: config.mode,
            insecure: config.insecure,
            expiring_notice: config.expiring_notice,
            anyone: Arc::new(Principal::anyone()),
            verifier,
            configured_keys: config.keys,
            api_keys: ApiKeys::default(),
            revocations: Revocations::new(config.revocations_max),
            metrics,
            warned: OnceLock::new(),
        }));
        if let Err(error) = auth.install_api_keys(Vec::new()) {
            tracing::warn!(%error, "the API keys of the configuration are not taken");
        }
        Ok(auth)
    }

    /// Whether everybody has to show who they are.
    pub fn needs_credential(&self) -> bool {
        self.0.mode == Mode::Token
    }

    /// Whether somebody else was trusted to decide who may enter (`auth.insecure`).
    pub fn is_insecure(&self) -> bool {
        self.0.insecure && self.0.mode == Mode::None
    }

    /// How long before its token ends a client is told.
    pub fn expiring_notice(&self) -> Duration {
        self.0.expiring_notice
    }

    /// Seconds for which somebody may stay after their token has ended: fewer than clocks may
    /// differ, so that all are gone within that time.
    pub fn grace(&self) -> i64 {
        let leeway = self.0.verifier.as_ref().map_or(0, Verifier::leeway);
        leeway * 3 / 5
    }

    /// Somebody who did not have to say who they are.
    pub fn anyone(&self) -> Arc<Principal> {
        Arc::clone(&self.0.anyone)
    }

    /// The keys of tokens, if tokens are configured.
    pub fn keys(&self) -> Option<&Keys> {
        self.0.verifier.as_ref().map(|verifier| &verifier.keys)
    }

    /// The revocations that hold.
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Takes these API keys, besides those of the config, in place of those before.
    ///
    /// # Errors
    /// When there are too many; those before stay then.
    pub fn install_api_keys(&self, more: Vec<ApiKey>) -> Result<(), ApiKeyError> {
        let mut keys = self.0.configured_keys.clone();
        keys.extend(more);
        self.0.api_keys.install(&keys)?;
        self.0.revocations.tell();
        Ok(())
    }

    /// Who shows these credentials. Where nobody has to show who they are, nothing is looked at.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn admit(&self, credentials: &Credentials) -> Result<Arc<Principal>, Refusal> {
        if !self.needs_credential() {
            return Ok(self.anyone());
        }
        let admitted = match credentials.first() {
            None if credentials.is_misplaced() => Err(Refusal::Misplaced),
            None => Err(Refusal::Missing),
            Some(key) if is_api_key(key.reveal()) => self.by_key(key.reveal()),
            Some(token) => self.by_token(token.reveal()).await,
        };
        self.count(admitted)
    }

    /// Who a token is for, whether or not everybody has to show who they are.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn admit_token(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        self.count(self.by_token(token).await)
    }

    /// Whether somebody who was let in may stay.
    ///
    /// # Errors
    /// When its token has ended or was taken back.
    pub fn check(&self, principal: &Principal) -> Result<(), Refusal> {
        if principal.has_expired(now(), self.grace()) {
            return Err(TokenError::Expired.into());
        }
        if let Subject::Key(id) = &principal.subject
            && !self.0.api_keys.holds(id)
        {
            return Err(Refusal::ApiKey);
        }
        if self.0.revocations.concern(principal) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }

    /// Counts a request that was refused because of its `Origin`.
    pub fn count_foreign_origin(&self) {
        self.0.metrics.origin_refused();
    }

    fn by_key(&self, key: &str) -> Result<Arc<Principal>, Refusal> {
        let principal = self.0.api_keys.find(key).ok_or(Refusal::ApiKey)?;
        self.check(&principal)?;
        Ok(principal)
    }

    async fn by_token(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let Some(verifier) = &self.0.verifier else {
            if self.0.warned.set(()).is_ok() {
                tracing::warn!("a token was shown, but no key is configured in `auth.jwt`");
            }
            return Err(Refusal::NotConfigured);
        };
        let mut verified = verifier.verify(token, now());
        if verified == Err(TokenError::KeyUnknown) && verifier.keys.hope(KEYS_WAIT_MAX).await {
            verified = verifier.verify(token, now());
        }
        let principal = verified?;
        if self.0.revocations.concern(&principal) {
            return Err(Refusal::Revoked);
        }
        Ok(Arc::new(principal))
    }

    fn count(&self, admitted: Result<Arc<Principal>, Refusal>) -> Result<Arc<Principal>, Refusal> {
        match &admitted {
            Ok(principal) => self.0.metrics.admitted(principal.role),
            Err(refusal) => self.0.metrics.refused(refusal.as_str()),
        }
        admitted
    }
}

/// Now, in seconds since the Unix epoch.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

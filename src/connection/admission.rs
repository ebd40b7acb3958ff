//! Admission of one attached client: its principal, and when that ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::{self, Action, Principal, Refusal};
use crate::connection::{CloseReason, Door};
use crate::hub::Holder;
use crate::limit::Limits;
use crate::store;
use crate::topic::TopicName;

/// Longest that is slept at once: clocks may be set.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// What a client is to be told of its admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Its token ends soon, at this time in seconds since the Unix epoch.
    Expiring(i64),
    /// A topic that it follows as its own is another user's now: what it may not follow any longer
    /// is to be ended. Nothing of that topic is handed to it meanwhile.
    Lost,
    /// It is no longer let in.
    Ended(CloseReason),
}

/// Why a new token was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is somebody else's.
    #[error("the new token is for another `sub`: connect anew to be somebody else")]
    SomebodyElse,
}

/// The principal of an attached client, for as long as it is attached.
pub struct Admission {
    door: Door,
    state: Mutex<State>,
    refreshed: Notify,
    lost: Notify,
}

struct State {
    principal: Arc<Principal>,
    /// The end that the client has been told of.
    told_of: Option<i64>,
}

impl Admission {
    /// The admission of a principal.
    pub fn new(door: Door, principal: Arc<Principal>) -> Self {
        Self {
            door,
            state: Mutex::new(State {
                principal,
                told_of: None,
            }),
            refreshed: Notify::new(),
            lost: Notify::new(),
        }
    }

    /// How much it may take.
    pub fn limits(&self) -> &Limits {
        self.door.limits()
    }

    /// Who it is, now.
    pub fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.lock().principal)
    }

    /// Whether it may do something to a topic, now.
    ///
    /// # Errors
    /// When it depends on whose the topic is, and the store that knows it is away.
    pub async fn may(&self, action: Action, topic: &TopicName) -> Result<bool, store::Error> {
        self.door.may(&self.principal(), action, topic).await
    }

    /// The same, where nobody can be told of a store that is away: then nothing is allowed.
    pub async fn may_surely(&self, action: Action, topic: &TopicName) -> bool {
        self.may(action, topic).await.unwrap_or(false)
    }

    /// Who must go on owning a topic, if the client may follow it for no other reason.
    pub fn holder(self: &Arc<Self>, topic: &TopicName) -> Option<Holder> {
        let principal = self.principal();
        if auth::may(&principal, Action::Subscribe, topic, None) {
            return None;
        }
        let user = principal.user()?;
        let admission = Arc::clone(self);
        let goes_on = move |topic: &TopicName, owner: &str| {
            let principal = admission.principal();
            let may = auth::may(&principal, Action::Subscribe, topic, Some(owner));
            if !may {
                admission.lost.notify_one();
            }
            may
        };
        Some(Holder::new(user.into(), Box::new(goes_on)))
    }

    /// Whether it can ever end by itself.
    pub fn can_end(&self) -> bool {
        self.door.auth().needs_credential() || self.lock().principal.expires_at.is_some()
    }

    /// Takes a new token of the same user in place of the one before.
    ///
    /// # Errors
    /// [`RefreshError`]; the one before stays then.
    pub async fn refresh(&self, token: &str) -> Result<Arc<Principal>, RefreshError> {
        let new = self.door.auth().admit_token(token).await?;
        let mut state = self.lock();
        if new.subject != state.principal.subject {
            return Err(RefreshError::SomebodyElse);
        }
        state.principal = Arc::clone(&new);
        state.told_of = None;
        drop(state);
        self.refreshed.notify_one();
        Ok(new)
    }

    /// Takes the first token of a client that had shown none.
    ///
    /// # Errors
    /// [`Refusal`]; it may still do nothing then.
    pub async fn begin(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        let new = self.door.auth().admit_token(token).await?;
        self.lock().principal = Arc::clone(&new);
        self.refreshed.notify_one();
        Ok(new)
    }

    /// The next thing that the client is to be told. Dropping the future loses nothing.
    pub async fn next(&self) -> Notice {
        let auth = self.door.auth();
        let mut revoked = auth.revocations().watch();
        loop {
            let (principal, told_of) = {
                let state = self.lock();
                (Arc::clone(&state.principal), state.told_of)
            };
            if let Err(refusal) = auth.check(&principal) {
                return Notice::Ended(reason(&refusal));
            }
            let Some(ends) = principal.expires_at else {
                tokio::select! {
                    () = self.refreshed.notified() => {}
                    () = self.lost.notified() => return Notice::Lost,
                    _ = revoked.changed() => {}
                }
                continue;
            };
            let now = jiff::Timestamp::now().as_millisecond();
            let notice = i64::try_from(auth.expiring_notice().as_millis()).unwrap_or(i64::MAX);
            let warns_at = ends.saturating_mul(1000).saturating_sub(notice);
            let next = if told_of == Some(ends) {
                ends.saturating_add(auth.grace()).saturating_mul(1000)
            } else if now >= warns_at {
                self.lock().told_of = Some(ends);
                return Notice::Expiring(ends);
            } else {
                warns_at
            };
            let left = u64::try_from(next - now).unwrap_or(0).max(1);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left).min(SLEEP_MAX)) => {}
                () = self.refreshed.notified() => {}
                () = self.lost.notified() => return Notice::Lost,
                _ = revoked.changed() => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn reason(refusal: &Refusal) -> CloseReason {
    match refusal {
        Refusal::Revoked | Refusal::ApiKey => CloseReason::Revoked,
        Refusal::Token(_) | Refusal::Missing | Refusal::Misplaced | Refusal::NotConfigured => {
            CloseReason::Expired
        }
    }
}

//! Revocations: tokens that are taken back before they end.
//!
//! They are kept here to be asked about, and come here from the topic [`REVOCATIONS`], which the
//! floor above writes and every node follows; so they are as durable, and known to as many nodes,
//! as events are.
//!
//! [`REVOCATIONS`]: crate::topic::REVOCATIONS

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::auth::Principal;

/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 255;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Revoked {
    /// One token, by its `jti`.
    Jti(String),
    /// All tokens of a user that were made until then, by their `sub`; or an API key, as
    /// `key:<id>`.
    Sub(String),
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is taken back.
    #[serde(flatten)]
    pub revoked: Revoked,
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// When it may be forgotten, since nothing that it concerns holds any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// Why something cannot be revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The id is empty or too long.
    #[error("`jti` or `sub` has 1 to 255 bytes")]
    Id,
    /// As many hold as may.
    #[error(
        "as many revocations hold as `auth.revocations_max` ({0}) allows: give them `expires_at`, \
         so that they end with the tokens that they concern"
    )]
    Full(usize),
}

/// A revocation that holds, and which event of the topic it is.
struct Held {
    at: i64,
    expires_at: Option<i64>,
    seq: u64,
}

/// The revocations that hold.
pub struct Revocations {
    held: RwLock<HashMap<Revoked, Held>>,
    count: watch::Sender<u64>,
    max: usize,
}

impl Revocations {
    pub(super) fn new(max: usize) -> Self {
        Self {
            held: RwLock::default(),
            count: watch::Sender::new(0),
            max,
        }
    }

    /// Whether one more may be made; those that have ended are forgotten first.
    ///
    /// # Errors
    /// When it is malformed, or as many hold as may.
    pub fn check(&self, new: &Revocation, now: i64) -> Result<(), RevocationError> {
        let (Revoked::Jti(id) | Revoked::Sub(id)) = &new.revoked;
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(RevocationError::Id);
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| held.expires_at.is_none_or(|at| at > now));
        if held.len() >= self.max && !held.contains_key(&new.revoked) {
            return Err(RevocationError::Full(self.max));
        }
        Ok(())
    }

    /// Takes in a revocation, the event `seq` of its topic.
    pub fn install(&self, new: Revocation, seq: u64) {
        let Revocation {
            revoked,
            at,
            expires_at,
        } = new;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= self.max.saturating_mul(2) && !held.contains_key(&revoked) {
            // Only somebody who writes past `check` gets here.
            tracing::warn!(
                max = self.max,
                "a revocation beyond `auth.revocations_max` is not kept"
            );
            return;
        }
        held.insert(
            revoked,
            Held {
                at,
                expires_at,
                seq,
            },
        );
        drop(held);
        self.tell();
    }

    /// Asks everybody to look again whether they may stay.
    pub(super) fn tell(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// Told whenever there is one more.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// How many hold.
    pub fn len(&self) -> usize {
        self.held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether none holds.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that hold and were written before event `seq` of their topic, up to `max`: they are
    /// to be written again, before the log drops them.
    pub fn before(&self, seq: u64, now: i64, max: usize) -> Vec<Revocation> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter()
            .filter(|(_, held)| held.seq < seq && held.expires_at.is_none_or(|at| at > now))
            .take(max)
            .map(|(revoked, held)| Revocation {
                revoked: revoked.clone(),
                at: held.at,
                expires_at: held.expires_at,
            })
            .collect()
    }

    /// Whether a principal's token was taken back.
    pub fn concern(&self, principal: &Principal) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return false;
        }
        let by_id = principal
            .token_id
            .as_ref()
            .is_some_and(|id| held.contains_key(&Revoked::Jti(id.to_string())));
        let by_name = principal.name().is_some_and(|name| {
            held.get(&Revoked::Sub(name))
                .is_some_and(|held| principal.issued_at.is_none_or(|issued| issued <= held.at))
        });
        by_id || by_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, Subject};

    fn principal(jti: Option<&str>, issued_at: Option<i64>) -> Principal {
        Principal {
            subject: Subject::User("ann".into()),
            role: Role::User,
            token_id: jti.map(Into::into),
            issued_at,
            ..Principal::anyone()
        }
    }

    fn sub(name: &str, at: i64) -> Revocation {
        let revoked = Revoked::Sub(name.to_owned());
        Revocation {
            revoked,
            at,
            expires_at: None,
        }
    }

    #[test]
    fn a_user_is_revoked_up_to_a_moment_and_a_token_for_good() {
        let revocations = Revocations::new(10);
        assert!(!revocations.concern(&principal(Some("t"), Some(5))));
        revocations.install(sub("ann", 100), 1);
        assert!(revocations.concern(&principal(None, Some(100))));
        assert!(revocations.concern(&principal(None, None)));
        assert!(!revocations.concern(&principal(None, Some(101))));
        let jti = Revocation {
            revoked: Revoked::Jti("t".to_owned()),
            at: 0,
            expires_at: None,
        };
        revocations.install(jti, 2);
        assert!(revocations.concern(&principal(Some("t"), Some(200))));
        assert!(!revocations.concern(&principal(Some("u"), Some(200))));
    }

    #[test]
    fn there_is_a_bound_and_what_has_ended_makes_room() {
        let revocations = Revocations::new(2);
        let ending = Revocation {
            expires_at: Some(50),
            ..sub("a", 1)
        };
        revocations.install(ending, 1);
        revocations.install(sub("b", 1), 2);
        assert!(revocations.check(&sub("b", 2), 10).is_ok());
        assert_eq!(
            revocations.check(&sub("c", 2), 10),
            Err(RevocationError::Full(2))
        );
        assert!(revocations.check(&sub("c", 2), 50).is_ok());
        assert_eq!(revocations.len(), 1);
        assert_eq!(revocations.check(&sub("", 2), 50), Err(RevocationError::Id));
    }

    #[test]
    fn what_is_old_in_the_log_is_named() {
        let revocations = Revocations::new(10);
        revocations.install(sub("a", 1), 1);
        revocations.install(sub("b", 1), 9);
        let old = revocations.before(5, 0, 10);
        assert_eq!(old, [sub("a", 1)]);
        let json = serde_json::to_string(&old[0]).unwrap();
        assert_eq!(json, r#"{"sub":"a","at":1}"#);
        assert_eq!(serde_json::from_str::<Revocation>(&json).unwrap(), old[0]);
    }
}

//! Principals: who has been recognised, and what was said of their rights.

use std::sync::Arc;

use crate::auth::Patterns;

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nobody had to say (`auth.mode = "none"`).
    Anyone,
    /// A user, by the `sub` of a token.
    User(Arc<str>),
    /// A producer, by the id of its API key.
    Key(Arc<str>),
}

/// What somebody is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything is allowed to everybody (`auth.mode = "none"`).
    Anyone,
    /// Follows topics, answers questions.
    User,
    /// Publishes, and reads what it may publish.
    Producer,
    /// May do all.
    Admin,
}

impl Role {
    /// The name in tokens, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "user",
            Self::Producer => "producer",
            Self::Admin => "admin",
        }
    }
}

/// Somebody who has been recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub subject: Subject,
    /// What they are there for.
    pub role: Role,
    /// What they may subscribe to; none: their own topics.
    pub sub_topics: Option<Patterns>,
    /// What they may publish to.
    pub pub_topics: Patterns,
    /// The id of the token.
    pub token_id: Option<Arc<str>>,
    /// When the token was made, in seconds since the Unix epoch.
    pub issued_at: Option<i64>,
    /// When the token ends, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// The mail address in the token.
    pub email: Option<Arc<str>>,
}

impl Principal {
    /// Somebody who did not have to say who they are, and may do everything.
    pub const fn anyone() -> Self {
        Self {
            subject: Subject::Anyone,
            role: Role::Anyone,
            sub_topics: None,
            pub_topics: Patterns::none(),
            token_id: None,
            issued_at: None,
            expires_at: None,
            email: None,
        }
    }

    /// Somebody who has not shown yet who they are, and may do nothing.
    pub fn nobody() -> Self {
        Self {
            role: Role::User,
            sub_topics: Some(Patterns::none()),
            ..Self::anyone()
        }
    }

    /// The user's id, if it is a user.
    pub fn user(&self) -> Option<&str> {
        match &self.subject {
            Subject::User(sub) => Some(sub),
            Subject::Anyone | Subject::Key(_) => None,
        }
    }

    /// The name in logs and in presence: the `sub` of a token, `key:<id>` of an API key.
    pub fn name(&self) -> Option<String> {
        match &self.subject {
            Subject::Anyone => None,
            Subject::User(sub) => Some(sub.to_string()),
            Subject::Key(id) => Some(format!("key:{id}")),
        }
    }

    /// Whether there is anything that it may publish to.
    pub fn may_produce(&self) -> bool {
        self.is_admin() || !self.pub_topics.are_none()
    }

    /// Whether it administers the gateway. Where nobody has to say who they are, everybody does.
    pub const fn is_admin(&self) -> bool {
        matches!(self.role, Role::Admin | Role::Anyone)
    }

    /// Whether it has ended at a time, in seconds since the Unix epoch.
    pub fn has_expired(&self, now: i64, leeway: i64) -> bool {
        self.expires_at
            .is_some_and(|at| now >= at.saturating_add(leeway))
    }
}

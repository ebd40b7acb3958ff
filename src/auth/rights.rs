//! Rights: the one function that decides.

use crate::auth::{Principal, Role};
use crate::topic::{Kind, REVOCATIONS, TopicName};

/// What somebody wants to do to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Follow it: subscribe, resume, recover, stream.
    Subscribe,
    /// Read it: snapshot, history, its line in the list.
    Read,
    /// See who subscribes to it.
    Presence,
    /// Answer a question of it.
    Answer,
    /// Publish to it.
    Publish,
    /// Wait for the answer to a question of it.
    Await,
    /// Make it begin anew.
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Read,
        Self::Presence,
        Self::Answer,
        Self::Publish,
        Self::Await,
        Self::Delete,
    ];

    /// Whether it belongs to those who follow a topic, not to those who produce it.
    const fn is_a_followers(self) -> bool {
        match self {
            Self::Subscribe | Self::Read | Self::Presence | Self::Answer => true,
            Self::Publish | Self::Await | Self::Delete => false,
        }
    }

    /// Whether it changes what the topic holds.
    const fn changes(self) -> bool {
        match self {
            Self::Publish | Self::Delete | Self::Answer => true,
            Self::Subscribe | Self::Read | Self::Presence | Self::Await => false,
        }
    }
}

/// Whether a principal may do something to a topic, whose owner is given if it has one.
///
/// Administrators may do all. Producers may do everything to what they may publish to, and follow
/// what their `sub_topics` say. Users may follow what their `sub_topics` say; if their token says
/// nothing of it, the topics that they own and `documents:<sub>`. They may publish to what their
/// `pub_topics` say.
pub fn may(principal: &Principal, action: Action, topic: &TopicName, owner: Option<&str>) -> bool {
    if topic.as_str() == REVOCATIONS {
        return principal.is_admin() && !action.changes();
    }
    let may_publish = || principal.pub_topics.matches(topic);
    match principal.role {
        Role::Anyone | Role::Admin => true,
        Role::Producer => {
            may_publish() || (action.is_a_followers() && may_follow(principal, topic, owner))
        }
        Role::User if action.is_a_followers() => may_follow(principal, topic, owner),
        Role::User => may_publish(),
    }
}

fn may_follow(principal: &Principal, topic: &TopicName, owner: Option<&str>) -> bool {
    match (&principal.sub_topics, principal.user()) {
        (Some(patterns), _) => patterns.matches(topic),
        (None, Some(user)) => {
            owner == Some(user) || (topic.kind() == Kind::Documents && topic.id() == user)
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Patterns, Subject};

    fn patterns(texts: &[&str]) -> Patterns {
        let patterns: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
        patterns.into()
    }

    fn user(sub_topics: Option<&[&str]>, pub_topics: &[&str]) -> Principal {
        Principal {
            subject: Subject::User("ann".into()),
            role: Role::User,
            sub_topics: sub_topics.map(patterns),
            pub_topics: patterns(pub_topics),
            ..Principal::anyone()
        }
    }

    fn producer(pub_topics: &[&str]) -> Principal {
        Principal {
            subject: Subject::Key("k1".into()),
            role: Role::Producer,
            ..user(None, pub_topics)
        }
    }

    fn allowed(principal: &Principal, topic: &str, owner: Option<&str>) -> Vec<Action> {
        let topic = topic.parse().unwrap();
        let may = |action: &Action| may(principal, *action, &topic, owner);
        Action::ALL.into_iter().filter(may).collect()
    }

    const FOLLOWING: [Action; 4] = [
        Action::Subscribe,
        Action::Read,
        Action::Presence,
        Action::Answer,
    ];
    const PRODUCING: [Action; 3] = [Action::Publish, Action::Await, Action::Delete];

    #[test]
    fn a_user_follows_what_is_owned_unless_the_token_says_otherwise() {
        let ann = user(None, &[]);
        assert_eq!(allowed(&ann, "session:a", Some("ann")), FOLLOWING);
        assert_eq!(allowed(&ann, "documents:ann", None), FOLLOWING);
        for (topic, owner) in [
            ("session:a", Some("bob")),
            ("session:a", None),
            ("session:ann", None),
            ("documents:bob", None),
            ("documents:ann2", None),
            ("room:ann", None),
        ] {
            assert_eq!(allowed(&ann, topic, owner), [], "{topic} {owner:?}");
        }
        let told = user(Some(&["job:*"]), &[]);
        assert_eq!(allowed(&told, "job:1", None), FOLLOWING);
        assert_eq!(allowed(&told, "session:a", Some("ann")), []);
        assert_eq!(allowed(&told, "documents:ann", None), []);
        assert_eq!(allowed(&user(Some(&[]), &[]), "session:a", Some("ann")), []);
    }

    #[test]
    fn publishing_is_by_pattern_alone() {
        let ann = user(None, &["session:a"]);
        assert_eq!(allowed(&ann, "session:a", None), PRODUCING);
        assert_eq!(allowed(&ann, "session:b", Some("ann")), FOLLOWING);
        let worker = producer(&["job:*"]);
        assert_eq!(allowed(&worker, "job:1", None), Action::ALL);
        assert_eq!(allowed(&worker, "session:a", Some("k1")), []);
    }

    #[test]
    fn revocations_are_written_by_the_gateway_alone() {
        let reading = [
            Action::Subscribe,
            Action::Read,
            Action::Presence,
            Action::Await,
        ];
        let admin = Principal {
            role: Role::Admin,
            ..user(None, &[])
        };
        assert_eq!(allowed(&admin, REVOCATIONS, None), reading);
        assert_eq!(allowed(&admin, "system:alerts", None), Action::ALL);
        assert_eq!(allowed(&Principal::anyone(), REVOCATIONS, None), reading);
        assert_eq!(allowed(&producer(&["*"]), REVOCATIONS, None), []);
        assert_eq!(allowed(&user(Some(&["*"]), &["*"]), REVOCATIONS, None), []);
    }
}

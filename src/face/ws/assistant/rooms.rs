//! Rooms: their names, and who may be in which.

use crate::topic::{Kind, TopicName};

/// Rooms for administrators.
const ADMINS: [&str; 6] = [
    "admin",
    "system_monitoring",
    "background_jobs",
    "all_document_updates",
    "system_metrics",
    "job_updates",
];

/// Rooms that an administrator is in from the beginning.
pub(super) const FROM_THE_BEGINNING: [&str; 3] = ["admin", "system_monitoring", "background_jobs"];

/// The rooms of one user's documents begin with this.
const DOCUMENTS: &str = "document_updates_";

/// The topic of a room.
pub(super) fn topic(room: &str) -> Result<TopicName, String> {
    if room.is_empty() {
        return Err("Room name required".to_owned());
    }
    TopicName::new(Kind::Room, room).map_err(|error| error.to_string())
}

/// Whether somebody may join a room.
pub(super) fn may_join(room: &str, user: &str, is_admin: bool) -> bool {
    let is_others = room
        .strip_prefix(DOCUMENTS)
        .is_some_and(|owner| owner != user);
    is_admin || !(ADMINS.contains(&room) || is_others)
}

/// Whether a room is one that everybody may talk in.
pub(super) fn is_open(topic: &TopicName) -> bool {
    let room = topic.id();
    !ADMINS.contains(&room) && !room.starts_with(DOCUMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_of_others_and_of_administrators_are_closed() {
        for room in ADMINS {
            assert!(!may_join(room, "ann", false) && may_join(room, "ann", true));
        }
        assert!(may_join("chat", "ann", false) && may_join("document_updates_ann", "ann", false));
        assert!(!may_join("document_updates_bob", "ann", false));
        assert!(may_join("document_updates_bob", "ann", true));
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert_eq!(topic("").unwrap_err(), "Room name required");
        for name in ["../etc", "a\0b", "ä", &"x".repeat(129)] {
            assert!(topic(name).is_err(), "{name}");
        }
        assert_eq!(topic("chat_1").unwrap().as_str(), "room:chat_1");
    }
}

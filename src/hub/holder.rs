//! Holders: users who follow a topic for no other reason than that it is theirs.
//!
//! A topic that was deleted, or whose log was lost, begins anew, and may then be another user's.
//! What a subscriber reads is looked at after it was read: within an epoch a topic's owner never
//! changes, so nothing of a topic that is somebody else's is handed out.

use crate::hub::Topic;
use crate::topic::TopicName;

/// Whether a user may follow a topic that is this other user's. Who may not is told by it.
type GoesOn = Box<dyn Fn(&TopicName, &str) -> bool + Send + Sync>;

/// A user whose own topic it must be.
pub struct Holder {
    user: Box<str>,
    goes_on: GoesOn,
}

impl Holder {
    /// A subscription of a user. `goes_on` is asked when the topic is another's, for each read: it
    /// says whether the user may follow it nevertheless, and if not sees to it that the
    /// subscription is ended.
    pub const fn new(user: Box<str>, goes_on: GoesOn) -> Self {
        Self { user, goes_on }
    }

    /// Whether the user may follow the topic no longer.
    pub(crate) fn has_lost(&self, topic: &Topic) -> bool {
        let other = topic.owner_other_than(&self.user);
        other.is_some_and(|owner| !(self.goes_on)(topic.name(), &owner))
    }
}

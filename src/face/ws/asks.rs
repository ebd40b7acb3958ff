//! Asks: what a dialect wants that takes its time, and who does it.
//!
//! A dialect only names what it wants; the [`Desk`] has the handles and does it. A new dialect that
//! needs something else adds a variant to [`Ask`] and [`Answer`] and a line to [`Desk::answer`].

use crate::hub::{AppendError, Hub, Receipt};
use crate::topic::{Cursor, Draft, Job, TopicName};

/// What a dialect may ask for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Append an event.
    Append(Draft),
    /// Where a job stands.
    Job(TopicName),
}

/// What a dialect is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The job, and the place up to which its events are told in it; nothing if it is unknown.
    Job(Option<Box<(Job, Cursor)>>),
    /// What came of an append.
    Appended(Result<Receipt, AppendError>),
}

/// Where asks are answered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
}

impl Desk {
    /// Does what was asked. Dropping the future leaves it open whether it was done.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            // While the store is away nobody knows it.
            Ask::Job(topic) => {
                let job = self.hub.job(&topic).await.ok().flatten();
                Answer::Job(job.map(Box::new))
            }
            Ask::Append(draft) => Answer::Appended(self.hub.append(draft, None).await),
        }
    }
}

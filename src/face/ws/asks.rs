//! Asks: what a dialect wants that takes its time, and who does it.
//!
//! A dialect only names what it wants; the [`Desk`] has the handles and does it. A new dialect that
//! needs something else adds a variant to [`Ask`] and [`Answer`] and a line to [`Desk::answer`].

use crate::hub::{AppendError, Hub, Receipt};
use crate::topic::Draft;

/// What a dialect may ask for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Append an event.
    Append(Draft),
}

/// What a dialect is answered.
#[derive(Debug)]
pub(crate) enum Answer {
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
            Ask::Append(draft) => Answer::Appended(self.hub.append(draft, None).await),
        }
    }
}

//! Asks: what a dialect wants that takes its time, and who does it.
//!
//! A dialect only names what it wants; the [`Desk`] has the handles and does it. A new dialect that
//! needs something else adds a variant to [`Ask`] and [`Answer`] and a line to [`Desk::answer`].

pub(crate) mod assist;
pub(crate) mod library;

use self::assist::{Assist, AssistAnswer, AssistAsk};
use self::library::{InLibrary, LibraryAnswer};
use crate::auth;
use crate::face::library::Watchers;
use crate::hub::{AppendError, Hub, Receipt};
use crate::producer::library::{self as libraries, Librarian};
use crate::topic::{Cursor, Draft, Job, TopicName};

/// What a dialect may ask for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Append an event.
    Append(Draft),
    /// Where a job stands.
    Job(TopicName),
    /// Something of a library.
    Library(Box<InLibrary>),
    /// Something of Assist.
    Assist(AssistAsk),
}

/// What a dialect is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The job, and the place up to which its events are told in it; nothing if it is unknown.
    Job(Option<Box<(Job, Cursor)>>),
    /// What came of an append.
    Appended(Result<Receipt, AppendError>),
    /// What a library did.
    Library(Result<LibraryAnswer, libraries::Error>),
    /// What Assist did.
    Assist(Result<AssistAnswer, auth::Refusal>),
}

/// Where asks are answered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
    pub(crate) library: (Librarian, Watchers),
    pub(crate) assist: Assist,
}

impl Desk {
    /// Does what was asked. Dropping the future leaves it open whether it was done.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Job(topic) => Answer::Job(self.hub.job(&topic).map(Box::new)),
            Ask::Append(draft) => Answer::Appended(self.hub.append(draft, None).await),
            Ask::Assist(ask) => Answer::Assist(self.assist.answer(&self.hub, ask).await),
            Ask::Library(asked) => Answer::Library(library::answer(&self.library, *asked).await),
        }
    }
}

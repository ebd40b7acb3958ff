//! Asks: what a dialect wants that takes its time, and who does it.
//!
//! A dialect only names what it wants; the [`Desk`] has the handles and does it. A new dialect that
//! needs something else adds a variant to [`Ask`] and [`Answer`] and a line to [`Desk::answer`].

pub(crate) mod assist;
pub(crate) mod library;

use std::sync::Arc;

use self::assist::{AssistAnswer, AssistAsk, Crowd};
use self::library::{InLibrary, LibraryAnswer};
use crate::auth::{Action, Principal, Refusal};
use crate::connection::{Admission, owner_of};
use crate::face::library::Watchers;
use crate::hub::{AppendError, Hub, Receipt};
use crate::origin::Origin;
use crate::producer::library::{self as libraries, Librarian};
use crate::producer::monitor::Monitor;
use crate::producer::scan::{Order, ScanError, Scans, View};
use crate::topic::{Cursor, Draft, Job, TopicName};

/// What a dialect may ask for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Append an event.
    Append(Draft),
    /// Let the client in by a token that it has sent in a message.
    Admit(String),
    /// Where a job stands.
    Job(TopicName),
    /// Something of a library.
    Library(Box<InLibrary>),
    /// Something of Assist.
    Assist(AssistAsk),
    /// What is known of a scan.
    ScanView(TopicName),
    /// Begin a scan.
    ScanStart(TopicName, Order),
    /// Stop a scan.
    ScanCancel(TopicName),
}

/// What a dialect is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The job, and the place up to which its events are told in it; nothing if it is unknown.
    Job(Option<Box<(Job, Cursor)>>),
    /// What is known of the scan.
    Scan(View),
    /// Whether the scan begins.
    ScanStarted(Result<(), ScanError>),
    /// Whether there was a scan to stop.
    ScanCancelled {
        /// Its end is told in its topic then.
        was_running: bool,
    },
    /// What came of an append.
    Appended(Result<Receipt, AppendError>),
    /// What a library did.
    Library(Result<LibraryAnswer, libraries::Error>),
    /// What Assist did.
    Assist(AssistAnswer),
    /// Who the client is.
    Admitted(Result<Arc<Principal>, Refusal>),
    /// The client may not do that.
    Forbidden,
}

/// The applications that dialects ask. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Apps {
    pub(crate) library: (Librarian, Watchers),
    pub(crate) monitor: Monitor,
    pub(crate) crowd: Crowd,
    pub(crate) scans: Scans,
}

/// Who decides what a client may follow and append to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// The door, by the rights of the principal.
    Door,
    /// The dialect, by the rules of its application.
    Dialect,
}

/// Where asks of one client are answered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
    pub(crate) admission: Arc<Admission>,
    pub(crate) judge: Judge,
    pub(crate) apps: Apps,
}

impl Desk {
    /// Does what was asked. Dropping the future leaves it open whether it was done.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        if self.judge == Judge::Door
            && let Some((action, topic)) = ask.right()
            && !self.admission.may_surely(action, topic).await
        {
            return match ask {
                Ask::Job(_) => Answer::Job(None),
                Ask::ScanView(_) => Answer::Scan(View::Unknown),
                Ask::Append(_)
                | Ask::Admit(_)
                | Ask::Library(_)
                | Ask::Assist(_)
                | Ask::ScanStart(..)
                | Ask::ScanCancel(_) => Answer::Forbidden,
            };
        }
        match ask {
            Ask::Append(draft) => {
                let owner = owner_of(&self.admission.principal(), None).map(str::to_owned);
                let draft = draft.clone().with_owner(owner.as_deref()).unwrap_or(draft);
                let appending = self.hub.append(draft, None);
                Answer::Appended(Origin::of("ws").scope(appending).await)
            }
            // While the store is away nobody knows it.
            Ask::Job(topic) => {
                let job = self.hub.job(&topic).await.ok().flatten();
                Answer::Job(job.map(Box::new))
            }
            Ask::Assist(ask) => Answer::Assist(self.apps.assist(&self.hub, ask).await),
            Ask::Library(asked) => {
                Answer::Library(library::answer(&self.apps.library, *asked).await)
            }
            Ask::ScanView(topic) => Answer::Scan(self.apps.scans.view(&topic)),
            Ask::ScanStart(topic, order) => {
                Answer::ScanStarted(self.apps.scans.start(topic, order).await)
            }
            Ask::ScanCancel(topic) => Answer::ScanCancelled {
                was_running: self.apps.scans.cancel(&topic),
            },
            Ask::Admit(token) => Answer::Admitted(self.admission.begin(&token).await),
        }
    }
}

impl Ask {
    /// What the client must be allowed for this, and on which topic.
    fn right(&self) -> Option<(Action, &TopicName)> {
        match self {
            Self::Append(draft) => Some((Action::Publish, draft.topic())),
            Self::ScanStart(topic, _) | Self::ScanCancel(topic) => Some((Action::Publish, topic)),
            Self::Job(topic) | Self::ScanView(topic) => Some((Action::Read, topic)),
            Self::Library(asked) => Some((asked.ask.action(), &asked.topic)),
            Self::Admit(_) | Self::Assist(_) => None,
        }
    }
}

//! Asks: what a dialect wants that takes its time, and who does it.
//!
//! A dialect only names what it wants; the [`Desk`] has the handles and does it. A new dialect that
//! needs something else adds a variant to [`Ask`] and [`Answer`] and a line to [`Desk::answer`].

use std::sync::Arc;

use crate::auth::{Action, Principal, Refusal};
use crate::connection::{Admission, owner_of};
use crate::hub::{AppendError, Hub, Receipt};
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
    /// Who the client is.
    Admitted(Result<Arc<Principal>, Refusal>),
    /// The client may not do that.
    Forbidden,
}

/// Where asks of one client are answered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
    pub(crate) admission: Arc<Admission>,
    pub(crate) scans: Scans,
}

impl Desk {
    /// Does what was asked. Dropping the future leaves it open whether it was done.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        if let Some((action, topic)) = ask.right()
            && !self.admission.may(action, topic)
        {
            return match ask {
                Ask::Job(_) => Answer::Job(None),
                Ask::ScanView(_) => Answer::Scan(View::Unknown),
                Ask::Append(_) | Ask::Admit(_) | Ask::ScanStart(..) | Ask::ScanCancel(_) => {
                    Answer::Forbidden
                }
            };
        }
        match ask {
            Ask::Append(draft) => {
                let owner = owner_of(&self.admission.principal(), None).map(str::to_owned);
                let draft = draft.clone().with_owner(owner.as_deref()).unwrap_or(draft);
                Answer::Appended(self.hub.append(draft, None).await)
            }
            // While the store is away nobody knows it.
            Ask::Job(topic) => {
                let job = self.hub.job(&topic).await.ok().flatten();
                Answer::Job(job.map(Box::new))
            }
            Ask::ScanView(topic) => Answer::Scan(self.scans.view(&topic)),
            Ask::ScanStart(topic, order) => {
                Answer::ScanStarted(self.scans.start(topic, order).await)
            }
            Ask::ScanCancel(topic) => Answer::ScanCancelled {
                was_running: self.scans.cancel(&topic),
            },
            Ask::Admit(token) => Answer::Admitted(self.admission.begin(&token).await),
        }
    }
}

impl Ask {
    /// What the client must be allowed for this, and on which topic.
    const fn right(&self) -> Option<(Action, &TopicName)> {
        match self {
            Self::Append(draft) => Some((Action::Publish, draft.topic())),
            Self::ScanStart(topic, _) | Self::ScanCancel(topic) => Some((Action::Publish, topic)),
            Self::Job(topic) | Self::ScanView(topic) => Some((Action::Read, topic)),
            Self::Admit(_) => None,
        }
    }
}

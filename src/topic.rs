//! The words of the product: what a topic, an event and a cursor are.
//!
//! A topic is a bounded, ordered log of events; a cursor is a place in it. Everything here is pure:
//! no I/O, no clock, no runtime and no wire format. Every other part imports from here, this part
//! imports from nobody.

mod class;
mod cursor;
mod draft;
mod event;
mod fold;
mod job;
mod lifecycle;
mod name;
mod payload;
mod ring;

pub use self::class::{Class, Classes};
pub use self::cursor::{Cursor, CursorError, Epoch, Seq};
pub(crate) use self::draft::Place;
pub use self::draft::{Draft, DraftError};
pub use self::event::{Arrival, Event, EventName, EventNameError, iso8601};
pub use self::fold::{Bounds, Clarification, ClarificationStatus, Fold, Status};
pub use self::job::{CancelRequest, Job, JobRecord, LEASE_MAX, LEASE_MIN};
pub use self::lifecycle::{Forbidden, JobStatus, JobStatusError, Stage, Step};
pub use self::name::{Kind, REVOCATIONS, TopicName, TopicNameError};
pub use self::payload::{Payload, PayloadError};
pub use self::ring::{Entry, FORMS, Ring, Slice};

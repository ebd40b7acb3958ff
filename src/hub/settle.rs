//! Settle: an event gets its number, goes to the store, and becomes visible.
//!
//! A store that answers at once is called under the topic's lock, and the event is visible when
//! the lock is let go. A store with a writer gets the event as a job, sent under the same lock, so
//! that the queue has the order of the numbers; the writer settles each job in that order when it
//! is committed: only then readers see it. `State::tail` is the last number given out, the ring's
//! head the last one that is visible. When the writer refuses an event, those that were numbered
//! after it are refused as well (`store::Error::Overtaken`), and the tail goes back to the head
//! once for all of them (`State::generation`): no number is skipped.
//!
//! Nothing here is undone when a publisher goes away: what was sent is settled by the writer.

use std::sync::{Arc, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hub::metrics::age;
use crate::hub::topic::State;
use crate::hub::{Hub, Topic};
use crate::origin;
use crate::store::{self, Append, Fingerprint, Given, Job, ReceiptRow, Reservation, Room, Trim};
use crate::topic::{Arrival, Draft, Event, Kind, Place, Step};

/// How it ended: the event is visible, or was refused.
pub(crate) type Settled = Result<Arc<Event>, store::Error>;

type Answer = oneshot::Sender<Settled>;

/// An event that is to be appended.
pub(crate) struct Work {
    pub(crate) draft: Draft,
    /// The id of the question that it asks or ends; the caller has seen that nobody claims it.
    pub(crate) claim: Option<String>,
    pub(crate) keyed: Option<Keyed>,
}

/// The idempotency key of a publish.
pub(crate) struct Keyed {
    pub(crate) key: Box<str>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) reservation: Reservation,
}

/// What came of a submission: it is settled, or will be.
pub(crate) enum Submitted {
    Settled(Settled),
    Sent(oneshot::Receiver<Settled>),
}

impl Submitted {
    /// Waits until it is settled.
    pub(crate) async fn wait(self) -> Settled {
        match self {
            Self::Settled(result) => result,
            Self::Sent(settled) => settled.await.unwrap_or_else(|_| {
                Err(store::Error::Unavailable(
                    "the store has been closed".into(),
                ))
            }),
        }
    }
}

/// An event that is on its way to the store.
struct Pending {
    topic: Arc<Topic>,
    event: Arc<Event>,
    generation: u64,
    claim: Option<String>,
    trim: Option<Arc<Trim>>,
    reservation: Option<Reservation>,
    answer: Answer,
}

impl Hub {
    /// Numbers the draft and hands it to the store. Takes the lock over, and lets go of it before
    /// anybody is told.
    pub(crate) fn submit(
        &self,
        topic: &Arc<Topic>,
        mut state: MutexGuard<'_, State>,
        work: Work,
        room: Option<Room>,
    ) -> Submitted {
        let Work {
            draft,
            claim,
            keyed,
        } = work;
        let event = self.numbered(&mut state, draft);
        if event.topic.kind() == Kind::Job {
            let step = Step::of(&event.name, event.class);
            state.stage = state.stage.moved(step, event.attempt);
            state.heard_at = Instant::now();
        }
        let Some(room) = room else {
            let shown = state.show(&event, None);
            if shown.is_ok() {
                state.tail = event.seq;
            } else {
                state.claimed_for = None;
                state.stage = state.fold.stage();
            }
            drop(state);
            return Submitted::Settled(shown.map(|()| {
                if let Some(keyed) = keyed {
                    keyed.reservation.complete(Given::of(&event));
                }
                self.announce(topic, &event);
                event
            }));
        };
        state.tail = event.seq;
        let State { log, fold, .. } = &mut *state;
        let trim = log.trim(|| fold.kept()).map(Arc::new);
        if let Some(id) = &claim {
            state.claims.insert(id.clone());
        }
        let (receipt, reservation) = keyed.map_or((None, None), |keyed| {
            let (key, fingerprint) = (keyed.key, keyed.fingerprint);
            let row = ReceiptRow { key, fingerprint };
            (Some(row), Some(keyed.reservation))
        });
        let (answer, settled) = oneshot::channel();
        let pending = Pending {
            topic: Arc::clone(topic),
            event: Arc::clone(&event),
            generation: state.generation,
            claim,
            trim: trim.clone(),
            reservation,
            answer,
        };
        let hub = self.clone();
        room.send(Job::Append(Box::new(Append {
            event,
            trim,
            receipt,
            settle: Box::new(move |result| {
                let settled = pending.settle(result);
                Box::new(move || {
                    let (answer, result) = hub.conclude(settled);
                    // Whoever is answered may close the store next: no handle is left here then.
                    drop(hub);
                    // The publisher may have gone away.
                    let _ = answer.send(result);
                })
            }),
        })));
        drop(state);
        Submitted::Sent(settled)
    }

    fn numbered(&self, state: &mut State, mut draft: Draft) -> Arc<Event> {
        // Every event says it, since the log may drop the one that said it first.
        let known = state.fold.owner().or(state.claimed_for.as_ref());
        draft.owner = known.cloned().or(draft.owner);
        state.claimed_for.clone_from(&draft.owner);
        let class = draft
            .class
            .unwrap_or_else(|| self.0.config.classes.of(draft.name()));
        let place = Place {
            seq: state.tail.next(),
            epoch: state.epoch.clone(),
            id: Uuid::now_v7(),
            timestamp_ms: jiff::Timestamp::now().as_millisecond(),
        };
        let mut event = draft.seal(place, class);
        event.arrival = Arrival {
            at: Some(Instant::now()),
            trace: origin::recorded(),
        };
        Arc::new(event)
    }

    /// Called by the writer, in the order in which the events were sent, when all that was
    /// committed together is visible.
    fn conclude(
        &self,
        (pending, result): (Pending, Result<(), store::Error>),
    ) -> (Answer, Settled) {
        let _runtime = self.0.runtime.enter();
        let topic = &pending.topic;
        let result = result.map(|()| {
            if let Some(reservation) = pending.reservation {
                reservation.complete(Given::of(&pending.event));
            }
            self.announce(topic, &pending.event);
            pending.event
        });
        if pending.claim.is_some() {
            topic.clarified.notify_waiters();
        }
        (pending.answer, result)
    }

    /// Tells of an event that has become visible.
    fn announce(&self, topic: &Arc<Topic>, event: &Arc<Event>) {
        self.0.metrics.appended(event.class);
        self.0.store.metrics().append.observe(age(event));
        if event.name.as_str() == "clarification" {
            topic.clarified.notify_waiters();
            self.expire_in_time(topic, event);
        }
        self.tell_news(&event.topic, &event.name, event.cursor());
        if event.topic.kind() == Kind::Job {
            self.see_to_job(topic, event);
        }
        topic.trace(event);
        self.fan_out(topic);
        if topic.has_caps {
            self.release_in_time(topic);
        }
    }
}

impl Pending {
    /// Called by the writer, in the order in which the events were sent: readers see the event, or
    /// its number is taken back.
    fn settle(mut self, result: Result<i64, store::Error>) -> (Self, Result<(), store::Error>) {
        let mut state = self.topic.lock();
        if let Some(id) = &self.claim {
            state.claims.remove(id);
        }
        // A topic that was reset meanwhile has another epoch, and nothing to show.
        let is_current = state.epoch == self.event.epoch;
        if let Some(trim) = self.trim.take().filter(|_| is_current) {
            state.log.trimmed(&trim, result.is_ok());
        }
        let result = match result {
            Ok(offset) if is_current => state.show(&self.event, Some(offset)),
            Err(error) if is_current && state.generation == self.generation => {
                state.generation += 1;
                state.tail = state.ring.head();
                state.claimed_for = None;
                state.stage = state.fold.stage();
                Err(error)
            }
            result => result.map(|_| ()),
        };
        drop(state);
        (self, result)
    }
}

impl State {
    /// Makes an event visible to readers.
    fn show(&mut self, event: &Arc<Event>, offset: Option<i64>) -> Result<(), store::Error> {
        self.log.append(event, offset)?;
        self.fold.apply(event);
        self.ring.push(Arc::clone(event));
        if let Some(held) = &mut self.held {
            held.take(event, &self.ring);
        }
        self.touched_ms = event.timestamp_ms;
        Ok(())
    }
}

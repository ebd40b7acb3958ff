//! Recovery: a client that comes back within the window goes on where it was.
//!
//! A session is what outlives its connections: a private id (`pid`) that only its client knows, the
//! public id, and what the client subscribes to. What the client has seen is not kept here; it says
//! so itself, by the offset that it returns (see [`offset`]). So nothing is written per event, and
//! with a store that outlives the process a session does so too.
//!
//! Lock order: link, then registry, then session. No link is locked while one of the others is held.

mod claim;
pub(crate) mod offset;
pub(crate) mod record;
mod session;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Action;
use crate::connection::{Admission, CloseReason, ConnectionId, Metrics, Outcome};
use crate::drain::Drain;
use crate::face::socketio::config;
use crate::face::socketio::link::{Link, Parting};
use crate::hub::{From, Hub, Prepared};
use crate::store;
use crate::topic::{Cursor, TopicName};

pub(crate) use self::claim::Claim;
pub(crate) use self::session::Session;

use self::offset::Trail;
use self::record::{Base, Kept, Record};
use self::session::{Departure, Owner};

/// What a client that comes back goes on with.
pub(crate) struct Regained {
    pub(crate) session: Arc<Session>,
    /// Its subscriptions, and from where each goes on.
    pub(crate) kept: Vec<(Kept, From)>,
    /// To be held until the subscriptions have their seats.
    pub(crate) prepared: Option<Prepared>,
}

/// The sessions that can be recovered. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recovery(Arc<Shared>);

struct Shared {
    config: config::Recovery,
    hub: Hub,
    drain: Drain,
    metrics: Metrics,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    sessions: HashMap<Arc<str>, Arc<Session>>,
    /// Those without a connection, by the time they are forgotten.
    away: BTreeMap<Departure, Arc<Session>>,
    /// Counts how often a session was given to a connection.
    tenures: u64,
}

/// A session on its connection, and how far it has been written. Dropped, the session waits for
/// its client to come back, unless it has gone to another connection already.
pub(crate) struct Resumable {
    recovery: Recovery,
    pub(crate) session: Arc<Session>,
    pub(crate) trail: Trail,
    tenure: u64,
}

impl Resumable {
    /// The subscription of this number went on behind a gap. Returns its new number.
    pub(crate) fn leap(&mut self, number: u32, to: &Cursor) -> u32 {
        self.trail.forget(number);
        let number = self
            .session
            .with(|record| record.renumber(number, to.clone()));
        self.keep_later();
        number
    }

    /// The client gave this subscription up.
    pub(crate) fn unsubscribe(&mut self, topic: &TopicName) {
        let dropped = self.session.with(|record| record.drop_topic(topic));
        if let Some(number) = dropped {
            self.trail.forget(number);
            self.keep_later();
        }
    }

    /// The client left for good: it does not come back to this session.
    pub(crate) fn end(self) {
        self.recovery.leave(&self.session, self.tenure, true);
    }

    fn keep_later(&self) {
        self.recovery.keep_later(&self.session);
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        self.recovery.leave(&self.session, self.tenure, false);
    }
}

impl Recovery {
    /// The sessions of one gateway. Forgets those whose client did not come back in time.
    pub(crate) fn new(config: config::Recovery, hub: Hub, drain: &Drain, metrics: Metrics) -> Self {
        let recovery = Self(Arc::new(Shared {
            config,
            hub,
            drain: drain.clone(),
            metrics,
            registry: Mutex::default(),
        }));
        drain.spawn(recovery.clone().forget_until(drain.clone()));
        recovery
    }

    /// Whether this link gets offsets. The client's own word counts first, then the query of its
    /// first request, then what kind of client it seems to be.
    pub(crate) fn is_for(&self, link: &Link, claim: &Claim) -> bool {
        self.0.config.enabled
            && link
                .takes_offsets
                .is_some_and(|takes| claim.wants.unwrap_or(takes))
    }

    /// The session of a private id, taken from the connection that may still seem to have it; if
    /// it is of the same principal.
    pub(crate) async fn claim(&self, pid: &str, by: Option<&str>) -> Option<Arc<Session>> {
        let known = self.registry().sessions.get(pid).cloned();
        let session = match known {
            // Without an owner here, its client may have gone on elsewhere.
            Some(session) if self.0.hub.resumes().are_shared() && !session.is_owned() => {
                self.fetch(pid).await.unwrap_or(session)
            }
            Some(session) => session,
            None => self.fetch(pid).await?,
        };
        if session.with(|record| record.principal.as_deref() != by) {
            return None;
        }
        self.take_over(&session, None);
        Some(session)
    }

    /// The session of a private id that the store remembers.
    async fn fetch(&self, pid: &str) -> Option<Arc<Session>> {
        let record = match self.0.hub.resumes().find(pid).await {
            Ok(record) => serde_json::from_slice(&record?).ok()?,
            Err(error) => {
                tracing::warn!(%error, "a session could not be looked up, so it begins anew");
                return None;
            }
        };
        let pid: Arc<str> = pid.into();
        let fetched = Session::new(Arc::clone(&pid), record, true);
        let mut registry = self.registry();
        match registry.sessions.get(&pid) {
            // Somebody else may have fetched it meanwhile.
            Some(known) if known.is_owned() || !self.0.hub.resumes().are_shared() => {
                Some(Arc::clone(known))
            }
            before => {
                let departure = before.and_then(|before| before.lock().departure.take());
                if let Some(departure) = departure {
                    registry.away.remove(&departure);
                }
                registry.sessions.insert(pid, Arc::clone(&fetched));
                Some(fetched)
            }
        }
    }

    /// A new session.
    pub(crate) fn begin(&self, id: ConnectionId, of: Option<String>) -> Arc<Session> {
        let random = [Uuid::new_v4(), Uuid::new_v4()]
            .map(Uuid::into_bytes)
            .concat();
        let pid: Arc<str> = URL_SAFE_NO_PAD.encode(&random[..24]).into();
        let session = Session::new(Arc::clone(&pid), Record::new(id, of), false);
        self.registry().sessions.insert(pid, Arc::clone(&session));
        session
    }

    /// Gives a session to a connection, and takes it from the one that had it.
    pub(crate) fn adopt(
        &self,
        session: Arc<Session>,
        link: &Arc<Link>,
        generation: u64,
    ) -> Resumable {
        let tenure = {
            let mut registry = self.registry();
            registry.tenures += 1;
            // It may have been given up while it had nobody.
            registry
                .sessions
                .insert(Arc::clone(&session.pid), Arc::clone(&session));
            registry.tenures
        };
        let owner = Owner {
            tenure,
            link: Arc::downgrade(link),
            generation,
        };
        self.take_over(&session, Some(owner));
        Resumable {
            recovery: self.clone(),
            trail: Trail::new(session.pid()),
            session,
            tenure,
        }
    }

    /// Gives a session to another owner; the connection that had it is ended.
    fn take_over(&self, session: &Arc<Session>, owner: Option<Owner>) {
        let before = {
            let mut registry = self.registry();
            let mut state = session.lock();
            if let Some(departure) = state.departure.take() {
                registry.away.remove(&departure);
            }
            std::mem::replace(&mut state.owner, owner)
        };
        if let Some(Owner {
            link, generation, ..
        }) = before
            && let Some(link) = link.upgrade()
        {
            link.leave(generation, Parting::Broken);
            link.close(CloseReason::Replaced);
        }
    }

    /// A connection is gone. Its session waits for the client to come back, unless the client left
    /// for good, or has it on another connection already.
    fn leave(&self, session: &Arc<Session>, tenure: u64, is_for_good: bool) {
        let mut registry = self.registry();
        {
            let mut state = session.lock();
            if state
                .owner
                .as_ref()
                .is_none_or(|owner| owner.tenure != tenure)
            {
                return;
            }
            state.owner = None;
            if !is_for_good {
                let departure = (Instant::now() + self.0.config.window, tenure);
                state.departure = Some(departure);
                registry.away.insert(departure, Arc::clone(session));
            }
        }
        let one_too_many = if is_for_good {
            Some(Arc::clone(session))
        } else if registry.away.len() > self.0.config.sessions_max {
            self.0.metrics.session_evicted();
            registry.away.pop_first().map(|(_, oldest)| oldest)
        } else {
            None
        };
        if let Some(gone) = one_too_many {
            self.forget(&mut registry, &gone);
        }
    }

    /// Gives up a session that cannot go on.
    pub(crate) fn give_up(&self, session: &Session) {
        let mut registry = self.registry();
        self.forget(&mut registry, session);
    }

    fn forget(&self, registry: &mut Registry, session: &Session) {
        registry.sessions.remove(&session.pid);
        if session.lock().is_kept {
            let (resumes, pid) = (self.0.hub.resumes(), Arc::clone(&session.pid));
            self.0
                .drain
                .spawn(async move { resumes.forget(&pid).await });
        }
    }

    /// Sees to it that the store holds the record as it is now.
    ///
    /// # Errors
    /// When the store refuses, and holds an older record: what it lacks would be missed in silence
    /// by a client that comes back after the process was killed.
    pub(crate) async fn keep(&self, session: &Session) -> Result<(), store::Error> {
        let resumes = self.0.hub.resumes();
        if !resumes.are_kept() {
            return Ok(());
        }
        let _turn = session.writing.lock().await;
        let record = session.with(|record| serde_json::to_vec(record));
        let kept = resumes.keep(&session.pid, record.unwrap_or_default()).await;
        let mut state = session.lock();
        match kept {
            Ok(()) => {
                state.is_kept = true;
                Ok(())
            }
            Err(_) if !state.is_kept => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same, when nobody can wait for it.
    pub(crate) fn keep_later(&self, session: &Arc<Session>) {
        if !self.0.hub.resumes().are_kept() {
            return;
        }
        let (recovery, session) = (self.clone(), Arc::clone(session));
        self.0.drain.spawn(async move {
            if let Err(error) = recovery.keep(&session).await {
                tracing::warn!(%error, "what a client subscribes to was not kept");
            }
        });
    }

    /// What a client that connects goes on with: the session that it claims, if nothing of it is
    /// lost, with where each subscription goes on.
    pub(crate) async fn recover(&self, claim: &Claim, admission: &Admission) -> Option<Regained> {
        let pid = claim.pid.as_deref()?;
        let by = admission.principal().name();
        let Some(session) = self.claim(pid, by.as_deref()).await else {
            self.0.metrics.recovery(Outcome::Unknown);
            return None;
        };
        let resumed = session.lock().record.resume(pid, claim.offset.as_ref());
        let topics: Vec<_> = resumed
            .iter()
            .flatten()
            .map(|(kept, from)| (kept.topic.clone(), from.cursor().cloned()))
            .collect();
        // What cannot be followed now is told by a gap, if it comes to that.
        let prepared = self.0.hub.prepare(&topics).await.ok();
        let mut held = resumed;
        for (kept, from) in held.iter().flatten() {
            let may_have = admission.may_surely(Action::Subscribe, &kept.topic).await;
            if !may_have || !self.holds(kept, from) {
                held = None;
                break;
            }
        }
        let Some(held) = held else {
            self.0.metrics.recovery(Outcome::Gap);
            self.give_up(&session);
            return None;
        };
        self.0.metrics.recovery(Outcome::Recovered);
        Some(Regained {
            session,
            kept: held,
            prepared,
        })
    }

    /// Whether the log still has everything from there.
    fn holds(&self, kept: &Kept, from: &From) -> bool {
        match from {
            From::Since(cursor) => self.0.hub.holds(&kept.topic, cursor),
            From::Oldest => {
                let (Base::At(start) | Base::Snapshot(start) | Base::Gap(start)) = &kept.base;
                self.0.hub.holds(&kept.topic, start)
            }
            From::Snapshot | From::Head => true,
        }
    }

    async fn forget_until(self, drain: Drain) {
        let mut tick = tokio::time::interval(self.0.config.window / 8);
        let first_end = Instant::now() + self.0.config.window;
        let mut is_first_window = true;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = drain.begun() => return,
            }
            let now = Instant::now();
            if is_first_window && now >= first_end {
                is_first_window = false;
                // Sessions of the process before, whose clients did not come back.
                if let Err(error) = self.0.hub.resumes().forget_earlier().await {
                    tracing::warn!(%error, "sessions of the process before were not forgotten");
                }
            }
            self.forget_departed(now);
        }
    }

    fn forget_departed(&self, now: Instant) {
        let mut registry = self.registry();
        while let Some(first) = registry.away.first_entry()
            && first.key().0 <= now
        {
            let gone = first.remove();
            self.forget(&mut registry, &gone);
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0
            .registry
            .lock()
            .expect("no holder of the registry panics")
    }
}

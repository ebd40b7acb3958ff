//! Engine.IO sessions by their engine id.
//!
//! The only strong reference to a link is the engine's own (in the request that opened the
//! session), so a link goes when its session goes, and takes its entry here with it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cluster::Nodes;
use crate::face::socketio::admin::Admin;
use crate::face::socketio::encode::Dialect;
use crate::face::socketio::link::{Link, WeakLink};

/// How long a session that its client closed may still be asked for once.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Most farewells that are remembered.
const FAREWELLS_MAX: usize = 1024;

pub(crate) struct Sessions {
    ping_interval: Duration,
    speaks_socketio: bool,
    nodes: Nodes,
    /// Told when a session is gone.
    gone: Notify,
    /// The admin UI's side, if there is one.
    admin: OnceLock<Admin>,
    links: RwLock<HashMap<Box<str>, WeakLink>>,
    /// Sessions that their client closed while none of its polls was waiting. A poll that was sent
    /// at the same time and comes later is answered once as if it had waited.
    farewells: Mutex<VecDeque<(Box<str>, Dialect, Instant)>>,
}

impl Sessions {
    pub(crate) fn new(ping_interval: Duration, speaks_socketio: bool, nodes: Nodes) -> Self {
        let (links, farewells) = (RwLock::default(), Mutex::default());
        Self {
            ping_interval,
            speaks_socketio,
            nodes,
            gone: Notify::new(),
            admin: OnceLock::new(),
            links,
            farewells,
        }
    }

    /// Lets the admin UI's side know what happens here.
    pub(crate) fn tell(&self, admin: Admin) {
        // It is given once.
        let _ = self.admin.set(admin);
    }

    /// The admin UI's side, if there is one.
    pub(crate) fn admin(&self) -> Option<&Admin> {
        self.admin.get()
    }

    pub(crate) const fn ping_interval(&self) -> Duration {
        self.ping_interval
    }

    /// Whether the messages of these sessions are Socket.IO packets.
    pub(crate) const fn speaks_socketio(&self) -> bool {
        self.speaks_socketio
    }

    /// The id by which a polling client is to know a session; nothing if it is the engine's.
    pub(crate) fn told(&self, sid: &str) -> Option<String> {
        self.nodes.told(sid)
    }

    pub(crate) fn get(&self, sid: &str) -> Option<Arc<Link>> {
        self.links
            .read()
            .expect("no holder of the sessions panics")
            .get(sid)?
            .upgrade()
    }

    pub(crate) fn insert(&self, sid: &str, link: &Arc<Link>) {
        let mut links = self
            .links
            .write()
            .expect("no holder of the sessions panics");
        links.insert(sid.into(), Arc::downgrade(link));
        drop(links);
        if let Some(admin) = self.admin() {
            admin.stats().opened();
        }
    }

    pub(crate) fn remove(&self, sid: &str) {
        let mut links = self
            .links
            .write()
            .expect("no holder of the sessions panics");
        links.remove(sid);
        if links.len() * 4 < links.capacity() {
            links.shrink_to_fit();
        }
        drop(links);
        if let Some(admin) = self.admin() {
            admin.stats().closed();
        }
        self.gone.notify_waiters();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let links = self.links.read().expect("no holder of the sessions panics");
        links.len()
    }

    /// Resolves when all are gone.
    pub(crate) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// All of them that live.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        let links = self.links.read().expect("no holder of the sessions panics");
        links.values().filter_map(WeakLink::upgrade).collect()
    }

    /// Notes that a client closed its session.
    pub(crate) fn bid_farewell(&self, sid: &str, dialect: Dialect) {
        let mut farewells = self
            .farewells
            .lock()
            .expect("no holder of the farewells panics");
        while farewells.len() >= FAREWELLS_MAX
            || farewells
                .front()
                .is_some_and(|(_, _, at)| at.elapsed() > FAREWELL_MAX)
        {
            farewells.pop_front();
        }
        farewells.push_back((sid.into(), dialect, Instant::now()));
    }

    /// The dialect in which a poll that crossed with the close of this session is to be answered;
    /// once.
    pub(crate) fn takes_farewell(&self, sid: &str) -> Option<Dialect> {
        let mut farewells = self
            .farewells
            .lock()
            .expect("no holder of the farewells panics");
        let found = farewells
            .iter()
            .position(|(known, _, at)| **known == *sid && at.elapsed() <= FAREWELL_MAX);
        found
            .and_then(|at| farewells.remove(at))
            .map(|(_, dialect, _)| dialect)
    }
}

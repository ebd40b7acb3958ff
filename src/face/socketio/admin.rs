//! Namespace `/admin`: what the npm package `@socket.io/admin-ui` speaks.
//!
//! Off unless `face.socketio.admin_ui.enabled`. Who enters it shows a name and a password, or the
//! session that an earlier entry was given. It is told how each node does every two seconds and, in
//! mode `development`, of every socket, room and event of this node as it happens. It may make sockets
//! join, leave and disconnect, and send them events, on all nodes.
//!
//! While nobody is there, each thing that could be told costs the look at one flag. An onlooker that
//! does not keep up is disconnected: it comes back and is told how everything stands.

mod deeds;
mod entry;
mod stats;
mod told;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use tokio::time::Instant;

use self::entry::Entry;
pub(crate) use self::stats::PATH;
use self::stats::{Stats, Told};
use crate::auth::Secret;
use crate::drain::Drain;
use crate::face::socketio::link::Link;
use crate::face::socketio::sockets::Sockets;
use crate::topic::{Event, iso8601};

/// The namespace.
pub(crate) const ADMIN: &str = "/admin";

/// Who may use the admin UI, and what it may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether there is the namespace `/admin`.
    pub enabled: bool,
    /// The name of whoever may enter.
    pub username: String,
    /// The bcrypt hash of the password.
    #[serde(default)]
    pub password_hash: Option<Secret>,
    /// Whether it may only look.
    pub readonly: bool,
    /// How much it is told.
    pub mode: Mode,
    /// What the node is called there; its host name and process if nothing.
    #[serde(default)]
    pub server_id: Option<String>,
    /// Most onlookers at a time.
    pub connections_max: usize,
    /// Most sessions that are remembered; beyond it the oldest has to show the password again.
    pub sessions_max: usize,
    /// Most events that onlookers are told in a second; the rest is only counted.
    pub events_per_second_max: u64,
}

/// How much the admin UI is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Sockets, rooms and events.
    Development,
    /// How the node does, and no more.
    Production,
}

impl Config {
    /// What is wrong with it, by the name of the key.
    ///
    /// # Errors
    /// The key, and what to do.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !self.enabled {
            return Ok(());
        }
        if self.username.is_empty() {
            let what = "name whoever may enter, or leave the admin UI off";
            return Err(("username", what.to_owned()));
        }
        let Some(hash) = &self.password_hash else {
            let what = "the admin UI needs the bcrypt hash of a password: make one with \
                        `htpasswd -nbB admin PASSWORD` and keep what follows `admin:`";
            return Err(("password_hash", what.to_owned()));
        };
        let made = crate::auth::Password::of(hash);
        made.map(drop)
            .map_err(|error| ("password_hash", error.to_string()))
    }
}

/// The admin UI's side of the gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Shared>);

struct Shared {
    config: Config,
    entry: Entry,
    stats: Stats,
    told: Mutex<Told>,
    drain: Drain,
    born: Instant,
    /// Whether somebody is to be told of single things.
    is_watched: AtomicBool,
    onlookers: Mutex<Onlookers>,
    sockets: Sockets,
}

#[derive(Default)]
struct Onlookers {
    sockets: Vec<SocketRef>,
    /// Whether a task tells them how the node does.
    is_told: bool,
}

/// Most arguments of an event that an onlooker sends.
const ARGUMENTS_MAX: usize = 64;

/// The arguments of an event, in order.
#[derive(Debug, Clone, Default)]
struct Arguments(Vec<Value>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Of a tuple the engine gives what stands behind the name of the event.
        deserializer.deserialize_tuple(ARGUMENTS_MAX, AllArguments)
    }
}

struct AllArguments;

impl<'de> Visitor<'de> for AllArguments {
    type Value = Arguments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {ARGUMENTS_MAX} arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<Arguments, A::Error> {
        let mut all = Vec::new();
        while let Some(argument) = given.next_element()? {
            if all.len() == ARGUMENTS_MAX {
                return Err(serde::de::Error::invalid_length(all.len() + 1, &self));
            }
            all.push(argument);
        }
        Ok(Arguments(all))
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tuple is several arguments, a sequence would be one.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for argument in &self.0 {
            tuple.serialize_element(argument)?;
        }
        tuple.end()
    }
}

impl Admin {
    /// The admin UI's side, if the config wants it.
    pub(crate) fn new(config: &Config, (sockets, drain): (&Sockets, &Drain)) -> Option<Self> {
        let entry = Entry::new(config)?;
        let shared = Shared {
            config: config.clone(),
            entry,
            stats: Stats::default(),
            told: Mutex::default(),
            drain: drain.clone(),
            born: Instant::now(),
            is_watched: AtomicBool::new(false),
            onlookers: Mutex::default(),
            sockets: sockets.clone(),
        };
        Some(Self(Arc::new(shared)))
    }

    /// The counters.
    pub(crate) fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Whether somebody is to be told of single things.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.is_watched.load(Ordering::Relaxed)
    }

    /// A socket has connected.
    pub(crate) fn connected(&self, socket: &SocketRef) {
        self.tell("socket_connected", || {
            Some(vec![told::socket(socket)?, now()])
        });
    }

    /// A socket has gone.
    pub(crate) fn disconnected(&self, namespace: &str, id: &str, reason: &str) {
        self.tell("socket_disconnected", || {
            Some(vec![json!(namespace), json!(id), json!(reason), now()])
        });
    }

    /// A socket has another transport.
    pub(crate) fn upgraded(&self, link: &Link) {
        let id = || link.public_id(&link.lock()).to_string();
        self.tell("socket_updated", || {
            Some(vec![
                json!({"id": id(), "nsp": "/", "transport": "websocket"}),
            ])
        });
    }

    /// A socket has joined a room.
    pub(crate) fn joined(&self, room: &str, id: &str) {
        self.tell("room_joined", || {
            Some(vec![json!("/"), json!(room), json!(id), now()])
        });
    }

    /// A socket has left a room.
    pub(crate) fn left(&self, room: &str, id: &str) {
        self.tell("room_left", || {
            Some(vec![json!("/"), json!(room), json!(id), now()])
        });
    }

    /// A client has sent an event.
    pub(crate) fn received(
        &self,
        namespace: &str,
        link: &Link,
        (name, data): (&str, Option<&Value>),
    ) {
        self.0.stats.packet_in();
        if !self.is_watched() || !self.0.stats.may_tell(self.0.config.events_per_second_max) {
            return;
        }
        let id = link.public_id(&link.lock()).to_string();
        let arguments: Vec<Value> = [json!(name)].into_iter().chain(data.cloned()).collect();
        self.tell("event_received", || {
            Some(vec![json!(namespace), json!(id), json!(arguments), now()])
        });
    }

    /// A subscriber was sent an event. Called under its link's lock.
    pub(crate) fn sent(&self, id: &str, event: &Event) {
        if !self.0.stats.may_tell(self.0.config.events_per_second_max) {
            return;
        }
        let text = event.payload.json().unwrap_or("\"(bytes)\"");
        let data: Value = serde_json::from_str(text).unwrap_or_default();
        self.tell("event_sent", || {
            let arguments = json!([event.name.as_str(), data]);
            Some(vec![json!("/"), json!(id), arguments, now()])
        });
    }

    /// Tells every onlooker. The arguments are made only if there is one.
    fn tell(&self, event: &str, arguments: impl FnOnce() -> Option<Vec<Value>>) {
        if !self.is_watched() {
            return;
        }
        if let Some(arguments) = arguments() {
            self.send(event, &Arguments(arguments));
        }
    }

    /// Sends to every onlooker; one whose queue is full goes.
    fn send(&self, event: &str, arguments: &Arguments) {
        let full: Vec<SocketRef> = {
            let onlookers = self.onlookers();
            let sockets = onlookers.sockets.iter();
            sockets
                .filter(|socket| socket.emit(event, arguments).is_err())
                .cloned()
                .collect()
        };
        for socket in full {
            tracing::debug!(event, "an admin UI did not keep up and is disconnected");
            self.forget(&socket);
            // Whoever tells may hold the lock of a link.
            self.0.drain.spawn(async move {
                let _ = socket.disconnect();
            });
        }
    }

    fn forget(&self, socket: &SocketRef) {
        let mut onlookers = self.onlookers();
        onlookers.sockets.retain(|known| known.id != socket.id);
        if onlookers.sockets.is_empty() {
            self.0.is_watched.store(false, Ordering::Relaxed);
        }
    }

    fn onlookers(&self) -> MutexGuard<'_, Onlookers> {
        let onlookers = self.0.onlookers.lock();
        onlookers.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time, as JSON has it.
fn now() -> Value {
    json!(iso8601(jiff::Timestamp::now().as_millisecond()))
}

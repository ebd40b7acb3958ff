//! The crowd: the users of Assist, over all their connections on this node.
//!
//! It counts what each user says in a while, remembers how far each has read of what is published
//! to them (`documents:{user}`), so that what came while they were away is delivered when they are
//! back, and says goodbye to the rooms of a connection that is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::face::ws::config::Assistant;
use crate::hub::Hub;
use crate::topic::{Cursor, Draft, TopicName};

/// A handle to the crowd. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Shared>);

struct Shared {
    config: Assistant,
    hub: Hub,
    drain: Drain,
    users: Mutex<HashMap<String, User>>,
}

/// What is known of a user.
struct User {
    connections: usize,
    window_began: Instant,
    said: u32,
    /// How far they have read of what is published to them.
    read: Option<Cursor>,
    left_at: Instant,
}

/// One connection of a user. Dropped, it has left.
pub(crate) struct Member {
    crowd: Crowd,
    user: String,
    rooms: HashSet<TopicName>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.user).finish()
    }
}

impl Crowd {
    /// A crowd of nobody. What is known of users who left long ago is forgotten now and then.
    pub(crate) fn new(config: Assistant, hub: Hub, drain: &Drain) -> Self {
        let crowd = Self(Arc::new(Shared {
            config,
            hub,
            drain: drain.clone(),
            users: Mutex::default(),
        }));
        let sweeping = crowd.clone();
        drain.spawn(async move {
            let interval = sweeping
                .0
                .config
                .cleanup_interval
                .max(Duration::from_secs(1));
            loop {
                tokio::select! {
                    () = tokio::time::sleep(interval) => sweeping.sweep(),
                    () = sweeping.0.drain.begun() => return,
                }
            }
        });
        crowd
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How Assist behaves.
    pub(crate) fn config(&self) -> &Assistant {
        &self.0.config
    }

    fn sweep(&self) {
        let age_max = self.0.config.offline_age_max;
        self.lock()
            .retain(|_, user| user.connections > 0 || user.left_at.elapsed() < age_max);
    }

    /// One more connection of a user.
    pub(crate) fn enter(&self, name: &str) -> Member {
        let mut users = self.lock();
        if users.len() >= self.0.config.users_max && !users.contains_key(name) {
            let gone = users.iter().filter(|(_, user)| user.connections == 0);
            let oldest = gone.min_by_key(|(_, user)| user.left_at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                tracing::warn!("a user who is away is forgotten (`face.ws.assistant.users_max`)");
                users.remove(&name);
            }
        }
        let now = Instant::now();
        let user = users.entry(name.to_owned()).or_insert_with(|| User {
            connections: 0,
            window_began: now,
            said: 0,
            read: None,
            left_at: now,
        });
        user.connections += 1;
        Member {
            crowd: self.clone(),
            user: name.to_owned(),
            rooms: HashSet::new(),
        }
    }
}

impl Member {
    /// How Assist behaves.
    pub(crate) fn config(&self) -> &Assistant {
        self.crowd.config()
    }

    /// Whether the user may say one more thing now.
    pub(crate) fn may_speak(&self) -> bool {
        let config = &self.crowd.0.config;
        let mut users = self.crowd.lock();
        let Some(user) = users.get_mut(&self.user) else {
            return false;
        };
        if user.window_began.elapsed() >= config.rate_window {
            user.window_began = Instant::now();
            user.said = 0;
        }
        user.said = user.said.saturating_add(1);
        user.said <= config.messages_max
    }

    /// How far the user has read of what is published to them.
    pub(crate) fn has_read(&self) -> Option<Cursor> {
        let users = self.crowd.lock();
        users.get(&self.user).and_then(|user| user.read.clone())
    }

    /// The user has read this far.
    pub(crate) fn read(&self, cursor: Cursor) {
        if let Some(user) = self.crowd.lock().get_mut(&self.user) {
            let is_behind = user
                .read
                .as_ref()
                .is_some_and(|read| read.epoch == cursor.epoch && read.seq >= cursor.seq);
            if !is_behind {
                user.read = Some(cursor);
            }
        }
    }

    /// The rooms that the connection is in.
    pub(crate) const fn rooms(&self) -> &HashSet<TopicName> {
        &self.rooms
    }

    /// The connection is in a room; says whether it was not before.
    pub(crate) fn joined(&mut self, room: TopicName) -> bool {
        self.rooms.insert(room)
    }

    /// The connection is in a room no more; says whether it was before.
    pub(crate) fn left(&mut self, room: &TopicName) -> bool {
        self.rooms.remove(room)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(user) = self.crowd.lock().get_mut(&self.user) {
            user.connections -= 1;
            user.left_at = Instant::now();
        }
        let rooms: Vec<TopicName> = self.rooms.drain().collect();
        if rooms.is_empty() {
            return;
        }
        let (hub, user) = (self.crowd.0.hub.clone(), self.user.clone());
        self.crowd.0.drain.spawn(async move {
            for room in rooms {
                let told = hub
                    .append(room_event(&room, "user_left", &user), None)
                    .await;
                if let Err(error) = told {
                    tracing::warn!(%error, %room, "a room is not told who left");
                }
            }
        });
    }
}

/// The event that somebody joined or left a room.
pub(crate) fn room_event(room: &TopicName, event: &str, user: &str) -> Draft {
    let data = json!({ "event": event, "room": room.id(), "user_id": user });
    let name = "room_event".parse().expect("this is a name of an event");
    Draft::json(room.clone(), name, &data.to_string()).expect("the payload is an object")
}

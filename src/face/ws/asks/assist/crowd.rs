//! The crowd: the users of Assist, over all their connections on this node.
//!
//! It counts what each user says in a while, notes how far each has read of what is published to
//! them (`documents:{user}`), so that what came while they were away is delivered when they are
//! back, tells administrators who comes and goes, and says goodbye to the rooms of a connection
//! that is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::notes::{Notes, Reading};
use crate::drain::Drain;
use crate::face::ws::config::Assistant;
use crate::hub::Hub;
use crate::topic::{Cursor, Draft, Kind, TopicName};

/// The room of the administrators.
const ADMINS: &str = "admin";

/// A handle to the crowd. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Shared>);

struct Shared {
    config: Assistant,
    hub: Hub,
    drain: Drain,
    notes: Notes,
    users: Mutex<HashMap<String, User>>,
}

/// What is known of a user.
struct User {
    connections: usize,
    window_began: Instant,
    said: u32,
    left_at: Instant,
}

/// One connection of a user. Dropped, it has left.
pub(crate) struct Member {
    crowd: Crowd,
    user: String,
    rooms: HashSet<TopicName>,
    /// What is published to the user; nothing if their id can be no part of a topic.
    reading: Option<Reading>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.user).finish()
    }
}

impl Crowd {
    /// A crowd of nobody. What is known of users who left long ago is forgotten now and then.
    pub(crate) fn new(config: Assistant, hub: Hub, drain: &Drain) -> Self {
        let notes = Notes::new(hub.clone(), config.offline_age_max, drain);
        let crowd = Self(Arc::new(Shared {
            config,
            hub,
            notes,
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
        let window = self.0.config.rate_window;
        self.lock()
            .retain(|_, user| user.connections > 0 || user.left_at.elapsed() < window);
    }

    /// One more connection of a user. Waits while another one of theirs is brought what waited.
    pub(crate) async fn enter(&self, name: &str) -> Member {
        let mut member = self.count(name);
        if let Ok(topic) = TopicName::new(Kind::Documents, name) {
            member.reading = Some(self.0.notes.read(topic).await);
        }
        let connections = self.lock().get(name).map_or(0, |user| user.connections);
        if connections == 1 {
            self.tell_activity(name, "connected").await;
        }
        member
    }

    /// Tells administrators that a user came, or left with the last connection to this node.
    async fn tell_activity(&self, user: &str, activity: &str) {
        let active = self
            .lock()
            .values()
            .filter(|user| user.connections > 0)
            .count();
        let room = TopicName::new(Kind::Room, ADMINS).expect("this is a topic");
        let data = json!({ "user_id": user, "activity": activity, "active_users": active });
        let name = "user_activity".parse().expect("this is a name of an event");
        let draft = Draft::json(room, name, &data.to_string()).expect("the payload is an object");
        if let Err(error) = self.0.hub.append(draft, None).await {
            tracing::warn!(%error, "administrators are not told who comes and goes");
        }
    }

    fn count(&self, name: &str) -> Member {
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
            left_at: now,
        });
        user.connections += 1;
        Member {
            crowd: self.clone(),
            user: name.to_owned(),
            rooms: HashSet::new(),
            reading: None,
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

    /// From where on the user reads what is published to them.
    pub(crate) fn has_read(&self) -> Option<Cursor> {
        self.reading.as_ref().and_then(Reading::begin).cloned()
    }

    /// The user has read this far.
    pub(crate) fn read(&mut self, cursor: Cursor) {
        if let Some(reading) = &mut self.reading {
            reading.told(cursor);
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
        let is_last = match self.crowd.lock().get_mut(&self.user) {
            Some(user) => {
                user.connections -= 1;
                user.left_at = Instant::now();
                user.connections == 0
            }
            None => false,
        };
        let has_read = self.reading.take().is_some();
        let rooms: Vec<TopicName> = self.rooms.drain().collect();
        let (crowd, user) = (self.crowd.clone(), self.user.clone());
        self.crowd.0.drain.spawn(async move {
            if has_read {
                // During a drain nobody else does it any more.
                crowd.0.notes.write().await;
            }
            if is_last {
                crowd.tell_activity(&user, "disconnected").await;
            }
            for room in rooms {
                let left = room_event(&room, "user_left", &user);
                let told = crowd.0.hub.append(left, None).await;
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

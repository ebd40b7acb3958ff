//! Who enters: by name and password, or by the session that an earlier entry was given.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use socketioxide::extract::{Event, SocketRef, TryData};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::auth::Password;
use crate::face::socketio::admin::stats::INTERVAL;
use crate::face::socketio::admin::{ADMIN, Admin, Arguments, Config, Mode, deeds, told};
use crate::face::socketio::entering::Denied;
use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::pacing::{Reply, acknowledge};

/// The session that a socket was given, until it is told.
#[derive(Clone)]
struct Session(String);

/// Who may enter.
pub(super) struct Entry {
    username: String,
    password: Password,
    sessions_max: usize,
    sessions: Mutex<VecDeque<String>>,
    /// One password is compared at a time: trying many takes its time and one core.
    comparing: Semaphore,
}

impl Entry {
    pub(super) fn new(config: &Config) -> Option<Self> {
        let hash = config.password_hash.as_ref().filter(|_| config.enabled)?;
        Some(Self {
            username: config.username.clone(),
            password: Password::of(hash).ok()?,
            sessions_max: config.sessions_max,
            sessions: Mutex::default(),
            comparing: Semaphore::new(1),
        })
    }

    fn knows(&self, session: &str) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().any(|known| known == session)
    }

    fn begin_session(&self) -> String {
        let session = Uuid::new_v4().simple().to_string();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        while sessions.len() >= self.sessions_max.max(1) {
            sessions.pop_front();
        }
        sessions.push_back(session.clone());
        session
    }

    /// Whether this is the password, however long that takes.
    async fn admits(&self, username: &str, password: String) -> bool {
        let Ok(_turn) = self.comparing.acquire().await else {
            return false;
        };
        let is_named = username == self.username;
        let known = self.password.clone();
        // A wrong name takes as long as a wrong password.
        let is_password = tokio::task::spawn_blocking(move || known.is(&password)).await;
        is_named && is_password.unwrap_or(false)
    }
}

impl Admin {
    /// Lets an onlooker in, by what its CONNECT says.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) async fn enter(
        &self,
        socket: &SocketRef,
        auth: Option<rmpv::Value>,
    ) -> Result<(), Denied> {
        let link = link_of(socket)?;
        let said = |name: &str| {
            let fields = auth.as_ref()?.as_map()?;
            let found = fields.iter().find(|(key, _)| key.as_str() == Some(name));
            found
                .and_then(|(_, value)| value.as_str())
                .map(str::to_owned)
        };
        if self.onlookers().sockets.len() >= self.0.config.connections_max {
            return Err(Denied::Onlookers(self.0.config.connections_max));
        }
        let entry = &self.0.entry;
        if !said("sessionId").is_some_and(|session| entry.knows(&session)) {
            let (name, password) = (said("username"), said("password"));
            let (Some(name), Some(password)) = (name, password) else {
                return Err(Denied::Credentials);
            };
            if !entry.admits(&name, password).await {
                tracing::warn!("somebody was not let into the admin namespace");
                return Err(Denied::Credentials);
            }
            socket.extensions.insert(Session(entry.begin_session()));
        }
        if let Some(ticket) = link.ticket.as_deref() {
            ticket.finish();
        }
        Ok(())
    }

    /// An onlooker is there: it is told what it may do and how everything stands, then what happens.
    pub(crate) fn begin(&self, socket: &SocketRef) {
        self.listen(socket);
        if let Some(Session(session)) = socket.extensions.get::<Session>() {
            let _ = socket.emit("session", &session);
        }
        let config = json!({ "supportedFeatures": deeds::features(&self.0.config) });
        let _ = socket.emit("config", &config);
        let starts = {
            let mut onlookers = self.onlookers();
            // What happens from here on is told; what has happened is in the list.
            if self.0.config.mode == Mode::Development {
                let watched = &self.0.is_watched;
                watched.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            onlookers.sockets.push(socket.clone());
            !std::mem::replace(&mut onlookers.is_told, true)
        };
        if self.0.config.mode == Mode::Development {
            let all = told::all(&self.0.sockets);
            let _ = socket.emit("all_sockets", &Arguments(vec![json!(all)]));
        }
        self.connected(socket);
        if starts {
            let admin = self.clone();
            self.0
                .drain
                .spawn(async move { admin.keep_telling().await });
        } else {
            self.tell_own();
        }
    }

    fn listen(&self, socket: &SocketRef) {
        let admin = self.clone();
        socket.on_fallback(
            move |socket: SocketRef,
                  Event(name): Event,
                  TryData(arguments): TryData<Arguments>,
                  ack: Reply| {
                let admin = admin.clone();
                async move {
                    let arguments = arguments.map(|Arguments(all)| all).unwrap_or_default();
                    let answer = admin.fulfil(&name, arguments).await;
                    if let Ok(link) = link_of(&socket) {
                        acknowledge(&link, ack, &answer);
                    }
                }
            },
        );
        let admin = self.clone();
        socket.on_disconnect(move |socket: SocketRef| {
            admin.forget(&socket);
            if let Ok(link) = link_of(&socket) {
                let id = link.public_id(&link.lock());
                admin.disconnected(ADMIN, id.as_str(), "client namespace disconnect");
            }
            std::future::ready(())
        });
    }

    /// Tells onlookers how the nodes do, for as long as there are any.
    async fn keep_telling(self) {
        loop {
            if self.onlookers_are_gone() {
                return;
            }
            self.tell_own();
            self.tell_others().await;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.0.drain.begun() => return,
            }
        }
    }

    fn onlookers_are_gone(&self) -> bool {
        let mut onlookers = self.onlookers();
        if onlookers.sockets.is_empty() {
            onlookers.is_told = false;
            self.told().clear();
        }
        !onlookers.is_told
    }
}

//! What other emitters want done with the sockets of this node.
//!
//! A room of theirs is, here, the subscribers of the topic of that name (`session:<room>`), the
//! sockets that an emitter made join it (`app:<room>`), and the socket whose public id it is
//! (`id:<room>`). An event that is recorded reaches the subscribers by the topic's log.

use std::time::Duration;

use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError};
use tokio::time::Instant;

use crate::connection::CloseReason;
use crate::face::socketio::admin::Admin;
use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::sockets::Sockets;
use crate::face::socketio::subscribing;
use crate::producer::bridges::{Action, Aim, Arguments};
use crate::topic::TopicName;

/// How long a socket whose queue is full is waited for, and how often it is tried.
const FULL_MAX: Duration = Duration::from_secs(1);
const FULL_AGAIN: Duration = Duration::from_millis(10);

/// The room of a socket alone.
pub(crate) fn own_room(id: &str) -> String {
    format!("id:{id}")
}

fn joined_room(room: &str) -> String {
    format!("app:{room}")
}

fn topic_room(room: &str) -> Option<String> {
    let topic = TopicName::of_session(room).ok()?;
    Some(topic.to_string())
}

/// Every room of ours that a room of theirs may mean.
fn meant(rooms: &[String], is_recorded: bool) -> Vec<String> {
    let mut meant = Vec::with_capacity(rooms.len() * 3);
    for room in rooms {
        meant.push(joined_room(room));
        meant.push(own_room(room));
        if !is_recorded {
            meant.extend(topic_room(room));
        }
    }
    meant
}

/// Takes the topics that rooms mean from a socket.
fn take_away(socket: &SocketRef, rooms: &[String]) {
    for topic in rooms.iter().filter_map(|r| TopicName::of_session(r).ok()) {
        if let Ok(link) = link_of(socket) {
            subscribing::take_away(&link, &topic);
        }
        socket.leave(topic.to_string());
    }
}

/// Tells the admin UI of each socket and room, if there is one.
fn tell(sockets: &[SocketRef], rooms: &[String], told: fn(&Admin, &str, &str)) {
    for link in sockets.iter().filter_map(|socket| link_of(socket).ok()) {
        let Some(admin) = link.sessions.admin() else {
            return;
        };
        let id = link.public_id(&link.lock());
        for room in rooms {
            told(admin, room, id.as_str());
        }
    }
}

/// Sends an event to each of these sockets. One whose queue is full is waited for, after all others
/// have it; one that takes nothing is closed, since an event must not vanish.
async fn emit(sockets: Vec<SocketRef>, event: &str, arguments: &Arguments) {
    let until = Instant::now() + FULL_MAX;
    let mut left = sockets;
    loop {
        left.retain(|socket| is_full(&socket.emit(event, arguments)));
        if left.is_empty() || Instant::now() >= until {
            break;
        }
        tokio::time::sleep(FULL_AGAIN).await;
    }
    for link in left.iter().filter_map(|socket| link_of(socket).ok()) {
        link.close(CloseReason::Overloaded);
    }
}

fn is_full(sent: &Result<(), SendError>) -> bool {
    matches!(
        sent,
        Err(SendError::Socket(SocketError::InternalChannelFull))
    )
}

/// What others call a room of ours; nothing for one that is of no use to them.
pub(crate) fn said_room(room: &str) -> Option<&str> {
    if room.starts_with("id:") {
        return None;
    }
    Some(room.strip_prefix("app:").unwrap_or(room))
}

impl Sockets {
    /// The sockets of this node that are meant.
    pub(crate) fn meant(&self, aim: &Aim) -> Vec<SocketRef> {
        self.mains()
            .flat_map(|main| {
                let (rooms, except) = (meant(&aim.rooms, false), meant(&aim.except, false));
                main.within(rooms).except(except).sockets()
            })
            .collect()
    }

    /// Does what an emitter wants, as far as it concerns sockets of this node.
    pub async fn act(&self, action: Action) {
        for main in self.mains() {
            let within = |aim: &Aim| {
                let mut except = meant(&aim.except, false);
                if aim.is_recorded {
                    // They have it from the log.
                    except.extend(aim.rooms.iter().filter_map(|room| topic_room(room)));
                }
                let rooms = meant(&aim.rooms, aim.is_recorded);
                main.clone().within(rooms).except(except)
            };
            let joined = |rooms: &[String]| -> Vec<String> {
                rooms.iter().map(|room| joined_room(room)).collect()
            };
            match &action {
                Action::Emit {
                    event,
                    arguments,
                    aim,
                } => {
                    emit(within(aim).sockets(), event, arguments).await;
                }
                Action::Join { rooms, aim } => {
                    tell(&within(aim).sockets(), rooms, Admin::joined);
                    let _ = within(aim).join(joined(rooms)).await;
                }
                Action::Leave { rooms, aim } => {
                    let sockets = within(aim).sockets();
                    tell(&sockets, rooms, Admin::left);
                    for socket in &sockets {
                        take_away(socket, rooms);
                    }
                    let _ = within(aim).leave(joined(rooms)).await;
                }
                Action::Disconnect(aim) => {
                    let _ = within(aim).disconnect().await;
                }
            }
        }
    }
}

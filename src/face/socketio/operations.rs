//! What other emitters want done with the sockets of this node.
//!
//! A room of theirs is, here, the subscribers of the topic of that name (`session:<room>`), the
//! sockets that an emitter made join it (`app:<room>`), and the socket whose public id it is
//! (`id:<room>`). An event that is recorded reaches the subscribers by the topic's log.

use socketioxide::extract::SocketRef;

use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::{SocketIo, subscribing};
use crate::producer::bridges::{Action, Aim};
use crate::topic::TopicName;

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

impl SocketIo {
    /// Does what an emitter wants, as far as it concerns sockets of this node.
    pub async fn act(&self, action: Action) {
        for io in &self.handles {
            let Some(main) = io.of("/") else { continue };
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
                    let aimed = within(aim);
                    if let Err(error) = aimed.emit(event, arguments).await {
                        tracing::debug!(event, %error, "an event did not reach every socket");
                    }
                }
                Action::Join { rooms, aim } => {
                    let _ = within(aim).join(joined(rooms)).await;
                }
                Action::Leave { rooms, aim } => {
                    for socket in within(aim).sockets() {
                        take_away(&socket, rooms);
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

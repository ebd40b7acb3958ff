//! Operations on the sockets of all nodes: fetch, join, leave, disconnect, emit.
//!
//! This node does its part at once, and asks the others at the same time, directly and with a
//! deadline: so nothing waits for Redis, nothing is dropped on the way, and whoever asked hears
//! which nodes did not answer.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::extract::SocketRef;
use socketioxide::operators::BroadcastOperators;
use uuid::Uuid;

use crate::cluster::Nodes;
use crate::face::socketio::Config;
use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::operations::said_room;
use crate::producer::bridges::{Action, Aim, Arguments};
use crate::topic::EventName;

/// Where nodes ask each other.
pub(super) const PATH: &str = "/nodes/sockets";

/// Most bytes of a question between nodes, and of its answer.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// They are listed.
    Fetch,
    /// They join rooms.
    Join,
    /// They leave rooms, and the topics that bear their names.
    Leave,
    /// They are disconnected, for good.
    Disconnect,
    /// They are sent an event, which is not recorded anywhere.
    Emit,
}

/// What somebody wants done. Which fields it takes depends on the deed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The rooms whose sockets are meant; without, all sockets.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<String>>,
    /// The rooms whose sockets are not meant.
    #[serde(default)]
    pub except: Vec<String>,
    /// The rooms that are joined or left.
    #[serde(default)]
    pub rooms: Vec<String>,
    /// The event that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Most sockets that are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A wish that can be fulfilled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    deed: Deed,
    wish: Wish,
}

/// A socket as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Its public id.
    pub id: String,
    /// Its node.
    pub node: Uuid,
    /// Its transport.
    pub transport: String,
    /// Who it is, if that is known.
    pub principal: Option<String>,
    /// The topics that it subscribes to, and the rooms that it was made to join.
    pub rooms: BTreeSet<String>,
}

/// The sockets of this node, and the way to those of the others. Cheap to clone.
#[derive(Clone)]
pub struct Sockets(Arc<Shared>);

struct Shared {
    handles: OnceLock<[socketioxide::SocketIo; 2]>,
    nodes: Nodes,
    rooms_max: usize,
    sockets_max: usize,
}

/// What one node did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Done {
    /// To how many sockets.
    count: usize,
    sockets: Vec<Line>,
}

/// What all nodes did.
#[derive(Debug, Serialize)]
pub struct Everywhere {
    /// How many sockets it concerned.
    pub count: usize,
    /// The sockets, if they were to be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Vec<Line>>,
    /// How many nodes did their part.
    pub nodes: usize,
    /// The nodes that did not answer in time: what became of it there is open.
    pub unanswered: Vec<Uuid>,
}

impl Operation {
    /// The operation, if the wish makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(deed: Deed, wish: Wish, bounds: (usize, usize)) -> Result<Self, String> {
        let (rooms_max, sockets_max) = bounds;
        let named = wish.within.as_ref().map_or(0, Vec::len) + wish.except.len() + wish.rooms.len();
        if named > rooms_max {
            return Err(format!(
                "{named} rooms are named; at most {rooms_max} may be (`face.socketio.rooms_max`)"
            ));
        }
        let moves = matches!(deed, Deed::Join | Deed::Leave);
        if moves == wish.rooms.is_empty() {
            return Err(if moves {
                "give the `rooms` that sockets are to join or leave".to_owned()
            } else {
                "`rooms` is for join and leave; say `in` which rooms sockets are meant".to_owned()
            });
        }
        let is_everybody_meant = wish.within.as_ref().is_none_or(Vec::is_empty);
        if is_everybody_meant && matches!(deed, Deed::Disconnect | Deed::Join | Deed::Leave) {
            return Err("say `in` which rooms sockets are meant: `in: [\"session:a\"]`".to_owned());
        }
        match (deed, &wish.event) {
            (Deed::Emit, Some(event)) => {
                event
                    .parse::<EventName>()
                    .map_err(|error| error.to_string())?;
            }
            (Deed::Emit, None) => return Err("give the `event`".to_owned()),
            (_, Some(_)) => return Err("`event` and `args` are for emit".to_owned()),
            (_, None) => {}
        }
        if wish
            .limit
            .is_some_and(|limit| limit == 0 || limit > sockets_max)
        {
            return Err(format!(
                "`limit` is 1 to {sockets_max} (`face.socketio.sockets_max`)"
            ));
        }
        Ok(Self { deed, wish })
    }

    fn aim(&self) -> Aim {
        Aim {
            rooms: self.wish.within.clone().unwrap_or_default(),
            except: self.wish.except.clone(),
            is_recorded: false,
        }
    }

    fn action(&self) -> Option<Action> {
        let (aim, rooms) = (self.aim(), self.wish.rooms.clone());
        Some(match self.deed {
            Deed::Fetch => return None,
            Deed::Join => Action::Join { rooms, aim },
            Deed::Leave => Action::Leave { rooms, aim },
            Deed::Disconnect => Action::Disconnect(aim),
            Deed::Emit => {
                let values = self.wish.args.iter().map(rmpv::ext::to_value);
                Action::Emit {
                    event: self.wish.event.clone().unwrap_or_default(),
                    arguments: Arguments(
                        values
                            .map(|value| value.unwrap_or(rmpv::Value::Nil))
                            .collect(),
                    ),
                    aim,
                }
            }
        })
    }
}

impl Sockets {
    /// The sockets of a node that is being made.
    pub fn new(nodes: Nodes, config: &Config) -> Self {
        Self(Arc::new(Shared {
            handles: OnceLock::new(),
            nodes,
            rooms_max: config.rooms_max,
            sockets_max: config.sockets_max,
        }))
    }

    /// The engines are there.
    pub(super) fn open(&self, handles: [socketioxide::SocketIo; 2]) {
        // It is made once.
        let _ = self.0.handles.set(handles);
    }

    /// This node among the others.
    pub fn nodes(&self) -> &Nodes {
        &self.0.nodes
    }

    /// The main namespaces of this node.
    pub(super) fn mains(&self) -> impl Iterator<Item = BroadcastOperators> {
        self.namespaces("/")
    }

    /// A namespace of this node, of each engine.
    pub(super) fn namespaces(&self, path: &str) -> impl Iterator<Item = BroadcastOperators> {
        let handles = self.0.handles.get().into_iter().flatten();
        handles.filter_map(move |io| io.of(path))
    }

    /// An operation, if the wish makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn operation(&self, deed: Deed, wish: Wish) -> Result<Operation, String> {
        Operation::new(deed, wish, (self.0.rooms_max, self.0.sockets_max))
    }

    /// Has it done on all nodes.
    pub async fn everywhere(&self, operation: &Operation) -> Everywhere {
        let question = serde_json::to_vec(operation).unwrap_or_default();
        let (own, others) = futures_util::future::join(
            self.here(operation),
            self.0.nodes.ask_all(PATH, Bytes::from(question), BYTES_MAX),
        )
        .await;
        let mut all = Everywhere {
            count: own.count,
            sockets: None,
            nodes: 1,
            unanswered: Vec::new(),
        };
        let mut sockets = own.sockets;
        for other in others {
            let done = other.answer.as_deref().map(serde_json::from_slice::<Done>);
            if let Some(Ok(done)) = done {
                all.count += done.count;
                all.nodes += 1;
                sockets.extend(done.sockets);
            } else {
                all.unanswered.push(other.node);
            }
        }
        if operation.deed == Deed::Fetch {
            sockets.sort();
            sockets.truncate(operation.wish.limit.unwrap_or(self.0.sockets_max));
            all.sockets = Some(sockets);
        }
        all
    }

    /// Does this node's part. It waits for nobody else.
    pub(super) async fn here(&self, operation: &Operation) -> Done {
        let sockets = self.meant(&operation.aim());
        let mut done = Done {
            count: sockets.len(),
            sockets: Vec::new(),
        };
        if operation.deed == Deed::Fetch {
            let limit = operation.wish.limit.unwrap_or(self.0.sockets_max);
            let lines = sockets.iter().filter_map(|socket| self.line(socket));
            done.sockets = lines.take(limit).collect();
        }
        drop(sockets);
        if let Some(action) = operation.action() {
            self.act(action).await;
        }
        done
    }

    fn line(&self, socket: &SocketRef) -> Option<Line> {
        let link = link_of(socket).ok()?;
        let state = link.lock();
        let principal = state.admission.as_ref().map(|one| one.principal());
        Some(Line {
            id: link.public_id(&state).as_str().to_owned(),
            node: self.0.nodes.id(),
            transport: state.exit.as_str().to_owned(),
            principal: principal.and_then(|one| one.name()),
            rooms: socket
                .rooms()
                .iter()
                .filter_map(|room| said_room(room))
                .map(str::to_owned)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wish_that_makes_no_sense_is_refused_with_what_to_do() {
        let bounds = (4, 100);
        for (deed, text, problem) in [
            (Deed::Fetch, "{}", ""),
            (
                Deed::Fetch,
                r#"{"in":["a"],"except":["b"],"limit":100}"#,
                "",
            ),
            (Deed::Fetch, r#"{"limit":101}"#, "`limit`"),
            (Deed::Fetch, r#"{"limit":0}"#, "`limit`"),
            (Deed::Fetch, r#"{"in":["a","b","c","d","e"]}"#, "rooms_max"),
            (Deed::Join, r#"{"in":["a"],"rooms":["b"]}"#, ""),
            (Deed::Join, r#"{"in":["a"]}"#, "`rooms`"),
            (Deed::Leave, r#"{"rooms":["b"]}"#, "`in`"),
            (Deed::Disconnect, r#"{"in":["a"]}"#, ""),
            (Deed::Disconnect, "{}", "`in`"),
            (Deed::Disconnect, r#"{"in":[]}"#, "`in`"),
            (Deed::Disconnect, r#"{"in":["a"],"rooms":["b"]}"#, "`rooms`"),
            (Deed::Emit, r#"{"event":"news","args":[1]}"#, ""),
            (Deed::Emit, "{}", "`event`"),
            (Deed::Emit, r#"{"event":"connect"}"#, "connect"),
            (Deed::Fetch, r#"{"event":"news"}"#, "emit"),
        ] {
            let made = Operation::new(deed, wish(text), bounds);
            let told = made.err().unwrap_or_default();
            assert_eq!(told.is_empty(), problem.is_empty(), "{text}: {told}");
            assert!(told.contains(problem), "{text}: {told}");
        }
        assert!(serde_json::from_str::<Wish>(r#"{"room":"a"}"#).is_err());
    }
}

//! `subscribe` and `unsubscribe`: a session id, an object, or an array of either.

mod joining;
mod wish;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

pub(crate) use self::joining::{Joining, rejoin};
pub(crate) use self::wish::topics;

use self::joining::{Entry, seat};
use self::wish::{Asked, Wish};
use crate::auth::Action;
use crate::connection::Admission;
use crate::face::socketio::entering;
use crate::face::socketio::link::{Direct, Link};
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::pacing::rest;
use crate::face::socketio::recovery::Session;
use crate::face::socketio::requests::Desk;
use crate::limit::{Account, Limit};
use crate::topic::TopicName;

/// The code of a refusal at `face.socketio.subscriptions_max`.
const TOO_MANY: &str = "too_many_subscriptions";

/// How many topics are seen to at once, before others have their turn.
const TURN: usize = 16;

/// Subscribes to what the data names. Returns the acknowledgement: one answer, or one for each
/// entry of an array, in order.
pub(crate) async fn subscribe(
    link: &Arc<Link>,
    (desk, socket): (&Desk, &SocketRef),
    admission: &Admission,
    data: Option<Value>,
) -> Value {
    let asked = match Asked::read(data, desk.config.subscribe_ids_max) {
        Ok(asked) => asked,
        Err(problem) => {
            if problem.code == wish::TOO_MANY_IDS {
                desk.door.limits().count(Limit::SocketIoIds);
            }
            return refuse(link, &Value::Null, &problem);
        }
    };
    let account = account(link, admission);
    if let Err(reached) = desk.door.limits().subscribe(&account, asked.entries.len()) {
        let problem = Problem::new("limit_reached", reached.to_string());
        let answer = refuse(link, &Value::Null, &problem);
        rest().await;
        return answer;
    }
    let mut entries = Vec::with_capacity(asked.entries.len());
    let mut known = known(link);
    for (given, wish) in asked.entries {
        breathe(entries.len()).await;
        let wish = match wish {
            Ok(wish) => wish.allowed(admission).await,
            Err(problem) => Err(problem),
        };
        let entry = wish.and_then(|wish| seat(link, desk, wish, &mut known));
        entries.push((given, entry));
    }
    // One write for all: what the store does not hold is not promised.
    let session = link.session();
    let kept = match &session {
        Some(session) => desk.recovery.keep(session).await,
        None => Ok(()),
    };
    let mut answers = Vec::with_capacity(entries.len());
    let mut is_over = false;
    for (given, entry) in entries {
        breathe(answers.len()).await;
        let answer = entry.and_then(|entry| match (entry, &kept) {
            (Entry::Again(session, topic), _) => again(link, &session, &topic),
            (Entry::New(joining), Ok(())) => {
                let topic = joining.subscription.topic().to_string();
                // Events do not go by the room; it is there for operations on sockets. Who reads
                // `subscribed` is in it.
                socket.join(topic.clone());
                let answer = link.admit(joining);
                answer.inspect_err(|_| socket.leave(topic))
            }
            (Entry::New(joining), Err(error)) => {
                if let Some(session) = &session {
                    session.with(|record| record.drop_topic(joining.subscription.topic()));
                }
                Err(Problem::new("store_away", error.to_string()))
            }
        });
        is_over |= matches!(&answer, Err(problem) if problem.code == TOO_MANY);
        answers.push(answer.unwrap_or_else(|problem| refused(link, &given, &problem)));
    }
    link.deliver(&mut link.lock());
    if is_over {
        rest().await;
    }
    asked.shape.of(answers)
}

/// Whose account subscriptions go to: who shows nothing gains nothing by connecting anew.
fn account(link: &Link, admission: &Admission) -> Account {
    let account = entering::account(link, admission);
    match &link.ticket {
        Some(ticket) if matches!(account, Account::Connection(_)) && !ticket.is_local() => {
            Account::Address(ticket.address())
        }
        _ => account,
    }
}

/// Lets others have their turn after so many topics.
async fn breathe(done: usize) {
    if done % TURN == TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// Unsubscribes from what the data names; as [`subscribe`].
pub(crate) fn unsubscribe(
    link: &Arc<Link>,
    (desk, socket): (&Desk, &SocketRef),
    data: Option<Value>,
) -> Value {
    let asked = match Asked::read(data, desk.config.subscribe_ids_max) {
        Ok(asked) => asked,
        Err(problem) => return refuse(link, &Value::Null, &problem),
    };
    let answers = asked.entries.into_iter().map(|(given, wish)| match wish {
        Ok(wish) => {
            socket.leave(wish.topic.to_string());
            unsubscribe_one(link, &wish)
        }
        Err(problem) => refused(link, &given, &problem),
    });
    let answers = answers.collect();
    link.deliver_direct(&mut link.lock());
    asked.shape.of(answers)
}

impl Wish {
    /// The wish, if it may be had; else it is refused as if there were no such topic.
    async fn allowed(self, admission: &Admission) -> Result<Self, Problem> {
        let may = admission.may(Action::Subscribe, &self.topic).await;
        if may.map_err(|error| Problem::new("store_away", error.to_string()))? {
            return Ok(self);
        }
        let why = format!(
            "there is no topic `{}` that you may subscribe to",
            self.topic
        );
        Err(Problem::new("unknown_topic", why))
    }
}

/// Unsubscribes from what may not be had any longer, and tells the client.
pub(crate) async fn drop_lost(link: &Arc<Link>, socket: &SocketRef, admission: &Admission) {
    for topic in known(link) {
        if admission.may_surely(Action::Subscribe, &topic).await {
            continue;
        }
        socket.leave(topic.to_string());
        let wish = Wish {
            session: topic.to_string(),
            topic,
            since: None,
            events: None,
        };
        unsubscribe_one(link, &wish);
    }
    link.deliver_direct(&mut link.lock());
}

/// Tells the client of a refusal, and returns it as the acknowledgement.
fn refuse(link: &Arc<Link>, given: &Value, problem: &Problem) -> Value {
    let answer = refused(link, given, problem);
    link.deliver_direct(&mut link.lock());
    answer
}

/// Queues a refusal for the client, and returns it as the acknowledgement.
fn refused(link: &Link, given: &Value, problem: &Problem) -> Value {
    link.queue(messages::error(given, problem, link.dialect));
    json!(problem)
}

/// What the connection subscribes to. Requests alone add to it, one after the other.
fn known(link: &Link) -> HashSet<TopicName> {
    let state = link.lock();
    let topics = state.subscriptions.iter();
    topics.map(|known| known.topic().clone()).collect()
}

/// Once more is harmless: it is confirmed, and nothing is replayed twice.
fn again(link: &Link, session: &str, topic: &TopicName) -> Result<Value, Problem> {
    let mut state = link.lock();
    let mut known = state.subscriptions.iter();
    let cursor = known
        .find(|known| known.topic() == topic)
        .and_then(|known| known.cursor())
        .ok_or_else(disconnected)?;
    let confirmed = messages::subscribed(session, topic, &cursor, false, link.dialect);
    state.direct.push_back(Direct::Frames(confirmed));
    Ok(json!({"ok": true, "topic": topic, "cursor": cursor, "recovered": false}))
}

fn disconnected() -> Problem {
    Problem::new("disconnected", "the connection was closed".to_owned())
}

/// Takes a topic from a connection, without a word to its client. Its seat is free afterwards.
pub(crate) fn take_away(link: &Arc<Link>, topic: &TopicName) {
    let left = {
        let mut state = link.lock();
        let found = state
            .subscriptions
            .iter()
            .position(|known| known.topic() == topic);
        if let Some(resumable) = &mut state.resumable {
            resumable.unsubscribe(topic);
        }
        found.map(|at| state.subscriptions.swap_remove(at))
    };
    if let Some(left) = left {
        if let Some(admin) = link.sessions.admin() {
            let id = link.public_id(&link.lock());
            admin.left(topic.as_str(), id.as_str());
        }
        left.end();
    }
}

/// Ends a subscription, and queues the answer.
fn unsubscribe_one(link: &Arc<Link>, wish: &Wish) -> Value {
    take_away(link, &wish.topic);
    link.queue(messages::unsubscribed(
        &wish.session,
        &wish.topic,
        link.dialect,
    ));
    json!({"ok": true, "topic": wish.topic})
}

impl Link {
    /// Queues a message for this connection and sends what can be sent.
    pub(crate) fn answer(self: &Arc<Self>, frames: Bytes) {
        self.queue(frames);
        self.deliver_direct(&mut self.lock());
    }

    /// Queues a message for this connection. Whoever has queued the last one delivers them.
    fn queue(&self, frames: Bytes) {
        let mut state = self.lock();
        state.direct.push_back(Direct::Frames(frames));
    }

    /// The session of this connection, if its client takes offsets.
    fn session(&self) -> Option<Arc<Session>> {
        let state = self.lock();
        let resumable = state.resumable.as_ref();
        resumable.map(|resumable| Arc::clone(&resumable.session))
    }
}

//! `subscribe` and `unsubscribe`: a session id, an object, or an array of either.

mod wish;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

pub(crate) use self::wish::topics;

use self::wish::{Asked, Wish};
use crate::auth::Action;
use crate::connection::Admission;
use crate::face::socketio::delivery::Subscription;
use crate::face::socketio::entering;
use crate::face::socketio::link::{Direct, Link, Stage};
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::pacing::rest;
use crate::face::socketio::recovery::Session;
use crate::face::socketio::recovery::record::{Base, Kept};
use crate::face::socketio::requests::Desk;
use crate::hub::{AttachError, Attached, From};
use crate::limit::{Account, Limit};
use crate::topic::{Seq, TopicName};

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

/// One entry of a `subscribe`, before it is answered.
enum Entry {
    /// The client is subscribed already; the id as it gave it.
    Again(String, TopicName),
    New(Joining),
}

/// A subscription that has its seat and is still to be told to the client.
pub(crate) struct Joining {
    /// The id as the client gave it.
    pub(crate) session: String,
    pub(crate) subscription: Arc<Subscription>,
    /// Its number in offsets.
    pub(crate) number: u32,
    pub(crate) attached: Attached,
    /// The connect that it belongs to.
    pub(crate) generation: u64,
    /// The client goes on where it was.
    pub(crate) kind: Joins,
}

/// How a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    Fresh,
    /// With a cursor of the client's.
    Since,
    /// With a session that was recovered.
    Resumed,
}

/// What the connection subscribes to. Requests alone add to it, one after the other.
fn known(link: &Link) -> HashSet<TopicName> {
    let state = link.lock();
    let topics = state.subscriptions.iter();
    topics.map(|known| known.topic().clone()).collect()
}

/// Takes a seat for a wish, and notes it in the session and in what is `known`.
fn seat(
    link: &Arc<Link>,
    desk: &Desk,
    wish: Wish,
    known: &mut HashSet<TopicName>,
) -> Result<Entry, Problem> {
    let Wish {
        session,
        topic,
        since,
        events,
    } = wish;
    if known.contains(&topic) {
        return Ok(Entry::Again(session, topic));
    }
    let max = desk.config.subscriptions_max;
    if known.len() >= max {
        desk.door.limits().count(Limit::SocketIoSubscriptions);
        let why = format!(
            "a connection may subscribe to at most {max} topics (`face.socketio.subscriptions_max`)"
        );
        return Err(Problem::new(TOO_MANY, why));
    }
    let generation = link.lock().generation;
    let subscription = Subscription::new(link, topic.clone(), events.clone());
    let kind = if since.is_some() {
        Joins::Since
    } else {
        Joins::Fresh
    };
    let from = since.map_or(desk.config.on_join.into(), From::Since);
    let attached = attach(desk, &subscription, from)?;
    known.insert(topic.clone());
    let number = link.session().map_or(0, |kept| {
        let base = base(&subscription, &attached);
        kept.with(|record| record.keep(session.clone(), topic, events, base))
    });
    Ok(Entry::New(Joining {
        session,
        subscription,
        number,
        attached,
        generation,
        kind,
    }))
}

/// What the client has as long as no offset tells more.
fn base(subscription: &Subscription, attached: &Attached) -> Base {
    let cursor = attached.cursor.clone();
    let mut backlog = attached.backlog.iter();
    if attached.gap.is_some() {
        Base::Gap(cursor)
    } else if backlog.any(|event| subscription.wants(&event.name)) {
        Base::Snapshot(cursor)
    } else {
        Base::At(cursor)
    }
}

/// Takes a seat in the subscription's topic.
pub(crate) fn attach(
    desk: &Desk,
    subscription: &Arc<Subscription>,
    from: From,
) -> Result<Attached, Problem> {
    let subscriber = Arc::<Subscription>::clone(subscription);
    let attached = desk.hub.attach(subscription.topic(), from, subscriber);
    let bound = attached.map(|mut attached| {
        attached.seat.bind(subscription.holder());
        attached
    });
    bound.map_err(|error| {
        let (limit, code) = match error {
            AttachError::TooManyTopics(_) => (Limit::Topics, "too_many_topics"),
            AttachError::TooManySubscribers => (Limit::TopicSubscribers, "too_many_subscribers"),
        };
        desk.door.limits().count(limit);
        Problem::new(code, error.to_string())
    })
}

/// Takes the seats of a session that is recovered. Returns nothing if one of them cannot go on where
/// it was.
pub(crate) fn rejoin(
    link: &Arc<Link>,
    desk: &Desk,
    kept: Vec<(Kept, From)>,
    generation: u64,
) -> Option<Vec<Joining>> {
    let rejoin = |(kept, from): (Kept, From)| {
        let subscription = Subscription::new(link, kept.topic, kept.events);
        let is_from_start = from == From::Oldest;
        // What was never sent is sent as to any newcomer.
        let from = match from {
            From::Snapshot => desk.config.on_join.into(),
            from => from,
        };
        let attached = attach(desk, &subscription, from).ok()?;
        let is_whole = !is_from_start || attached.cursor.seq == Seq::ZERO;
        (is_whole && attached.gap.is_none()).then_some(Joining {
            session: kept.session,
            subscription,
            number: kept.number,
            attached,
            generation,
            kind: Joins::Resumed,
        })
    };
    kept.into_iter().map(rejoin).collect()
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

    /// Lets a subscription begin: `subscribed`, the gap if there is one, the backlog; then the
    /// ring, by cursor. Returns the acknowledgement. Nothing is sent yet: whoever has admitted the
    /// last one delivers.
    pub(crate) fn admit(self: &Arc<Self>, joining: Joining) -> Result<Value, Problem> {
        let Joining {
            session,
            subscription,
            number,
            mut attached,
            generation,
            kind,
        } = joining;
        let mut state = self.lock();
        if state.generation != generation || state.stage == Stage::Out {
            // The seat takes the topic's lock: ours is let go first.
            drop(state);
            return Err(disconnected());
        }
        let topic = subscription.topic();
        let is_resumed = kind == Joins::Resumed;
        let cursor = attached.cursor.clone();
        let subscribed = messages::subscribed(&session, topic, &cursor, is_resumed, self.dialect);
        state.direct.push_back(Direct::Frames(subscribed));
        let recovered = kind != Joins::Fresh && attached.gap.is_none();
        if let Some(gap) = attached.gap.take() {
            let gap = messages::gap(topic, &gap, self.dialect);
            state.direct.push_back(Direct::Frames(gap));
        }
        let backlog = std::mem::take(&mut attached.backlog).into_iter();
        let wanted = backlog.filter(|event| subscription.wants(&event.name));
        let replays: Vec<_> = wanted.map(|event| Direct::Replay(event, number)).collect();
        if is_resumed && replays.is_empty() {
            // What the client has of it already, offsets of other topics must go on saying.
            state.mark(number, cursor.seq);
        }
        let replayed = replays.len() as u64;
        state.direct.extend(replays);
        let answer = json!({"ok": true, "topic": topic, "cursor": cursor, "recovered": recovered});
        attached.seat.count_replayed(replayed);
        subscription.begin(attached, number);
        if let Some(admin) = self.sessions.admin() {
            let id = self.public_id(&state);
            admin.joined(subscription.topic().as_str(), id.as_str());
        }
        state.subscriptions.push(subscription);
        Ok(answer)
    }
}

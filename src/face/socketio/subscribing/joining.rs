//! A subscription on its way: it takes its seat, is noted in its session, and begins.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::wish::Wish;
use super::{TOO_MANY, disconnected};
use crate::face::socketio::delivery::Subscription;
use crate::face::socketio::link::{Direct, Link, Stage};
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::recovery::record::{Base, Kept};
use crate::face::socketio::requests::Desk;
use crate::hub::{AttachError, Attached, From};
use crate::limit::Limit;
use crate::topic::{Seq, TopicName};

/// One entry of a `subscribe`, before it is answered.
pub(super) enum Entry {
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

/// Takes a seat for a wish, and notes it in the session and in what is `known`.
pub(super) fn seat(
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

impl Link {
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

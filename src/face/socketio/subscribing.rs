//! `subscribe` and `unsubscribe`: a session id, an object, or an array of either.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

use crate::face::socketio::OnJoin;
use crate::face::socketio::delivery::Subscription;
use crate::face::socketio::link::{Direct, Link, Stage, State};
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::requests::Desk;
use crate::hub::{AttachError, Attached, From};
use crate::topic::{Cursor, EventName, TopicName};

/// Most event names in the `events` of one subscription.
const EVENTS_MAX: usize = 64;

/// One topic that a client asks for.
struct Wish {
    /// The id as the client gave it.
    session: String,
    topic: TopicName,
    since: Option<Cursor>,
    events: Option<Box<[EventName]>>,
}

/// The topics that a subscription names, as far as it is well formed.
pub(crate) fn topics(data: Option<&Value>, desk: &Desk) -> Vec<TopicName> {
    let name = |entry: &Value| match entry {
        Value::String(session) => TopicName::of_session(session).ok(),
        Value::Object(fields) => match (fields.get("sessionId"), fields.get("topic")) {
            (Some(session), _) => TopicName::of_session(session.as_str()?).ok(),
            (None, Some(topic)) => topic.as_str()?.parse().ok(),
            (None, None) => None,
        },
        _ => None,
    };
    match data {
        Some(Value::Array(entries)) if entries.len() <= desk.config.subscribe_ids_max => {
            entries.iter().filter_map(name).collect()
        }
        Some(entry) => name(entry).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Subscribes to what the data names. Returns the acknowledgement: one answer, or one for each
/// entry of an array, in order.
pub(crate) fn subscribe(
    link: &Arc<Link>,
    (desk, socket): (&Desk, &SocketRef),
    data: Option<Value>,
) -> Value {
    each(link, desk, data, |wish| {
        let room = wish.topic.to_string();
        let answer = subscribe_one(link, desk, wish)?;
        // Events do not go by the room; it is there for operations on sockets.
        socket.join(room);
        Ok(answer)
    })
}

/// Unsubscribes from what the data names; as [`subscribe`].
pub(crate) fn unsubscribe(
    link: &Arc<Link>,
    (desk, socket): (&Desk, &SocketRef),
    data: Option<Value>,
) -> Value {
    each(link, desk, data, |wish| {
        socket.leave(wish.topic.to_string());
        Ok(unsubscribe_one(link, &wish))
    })
}

fn each(
    link: &Arc<Link>,
    desk: &Desk,
    data: Option<Value>,
    act: impl Fn(Wish) -> Result<Value, Problem>,
) -> Value {
    let one = |entry: Value| {
        let session = given(&entry);
        let answer = wish(entry).and_then(&act);
        answer.unwrap_or_else(|problem| {
            link.answer(messages::error(&session, &problem, link.dialect));
            json!(problem)
        })
    };
    let ids_max = desk.config.subscribe_ids_max;
    match data {
        Some(Value::Array(entries)) if entries.len() > ids_max => {
            let why = format!("at most {ids_max} ids may be given at once");
            let problem = Problem::new("too_many_ids", why);
            link.answer(messages::error(&Value::Null, &problem, link.dialect));
            json!(problem)
        }
        Some(Value::Array(entries)) if entries.is_empty() => {
            let problem = Problem::new("invalid_subscription", "give at least one id".to_owned());
            link.answer(messages::error(&Value::Null, &problem, link.dialect));
            json!(problem)
        }
        Some(Value::Array(entries)) => entries.into_iter().map(one).collect(),
        Some(entry) => one(entry),
        None => one(Value::Null),
    }
}

/// What the client gave as the id, as far as it may be echoed.
fn given(entry: &Value) -> Value {
    let id = match entry {
        Value::Object(fields) => fields.get("sessionId").or_else(|| fields.get("topic")),
        other => Some(other),
    };
    match id {
        Some(Value::String(id)) => json!(id.chars().take(160).collect::<String>()),
        Some(Value::Number(number)) => json!(number),
        _ => Value::Null,
    }
}

fn wish(entry: Value) -> Result<Wish, Problem> {
    let invalid = |why: &str| Problem::new("invalid_subscription", why.to_owned());
    let (session, topic, since, events) = match entry {
        Value::String(session) => {
            let topic = TopicName::of_session(&session);
            (session, topic, None, None)
        }
        Value::Object(mut fields) => {
            let (since, events) = (fields.remove("since"), fields.remove("events"));
            match (fields.remove("sessionId"), fields.remove("topic")) {
                (Some(Value::String(session)), _) => {
                    let topic = TopicName::of_session(&session);
                    (session, topic, since, events)
                }
                (None, Some(Value::String(name))) => {
                    let topic = name.parse();
                    (name, topic, since, events)
                }
                _ => return Err(invalid("give `sessionId` or `topic` as a string")),
            }
        }
        _ => {
            return Err(invalid(
                "give a session id as a string, an object {sessionId | topic, since?, events?}, \
                 or an array of these",
            ));
        }
    };
    let topic = topic.map_err(|e| Problem::new("invalid_topic", e.to_string()))?;
    let since = match since {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(
            text.parse::<Cursor>()
                .map_err(|e| Problem::new("invalid_cursor", e.to_string()))?,
        ),
        Some(_) => return Err(invalid("give `since` as a string `<epoch>:<seq>`")),
    };
    let events = match events {
        None | Some(Value::Null) => None,
        Some(names) => Some(event_names(names)?),
    };
    Ok(Wish {
        session,
        topic,
        since,
        events,
    })
}

fn event_names(names: Value) -> Result<Box<[EventName]>, Problem> {
    let invalid = |why: String| Problem::new("invalid_events", why);
    let Value::Array(names) = names else {
        return Err(invalid(
            "give `events` as an array of event names".to_owned(),
        ));
    };
    if names.is_empty() || names.len() > EVENTS_MAX {
        return Err(invalid(format!(
            "give 1 to {EVENTS_MAX} event names in `events`"
        )));
    }
    let parse = |name: Value| {
        let name = name.as_str().unwrap_or("").parse::<EventName>();
        name.map_err(|e| invalid(e.to_string()))
    };
    names.into_iter().map(parse).collect()
}

fn subscribe_one(link: &Arc<Link>, desk: &Desk, wish: Wish) -> Result<Value, Problem> {
    let Wish {
        session,
        topic,
        since,
        events,
    } = wish;
    let generation = {
        let mut state = link.lock();
        let known = state
            .subscriptions
            .iter()
            .find(|known| *known.topic() == topic);
        if let Some(cursor) = known.and_then(|known| known.cursor()) {
            // Once more is harmless: it is confirmed, and nothing is replayed twice.
            let again = messages::subscribed(&session, &topic, &cursor, link.dialect);
            state.direct.push_back(Direct::Frames(again));
            link.deliver(&mut state);
            return Ok(json!({"ok": true, "topic": topic, "cursor": cursor, "recovered": false}));
        }
        let max = desk.config.subscriptions_max;
        if state.subscriptions.len() >= max {
            let why = format!("a connection may subscribe to at most {max} topics");
            return Err(Problem::new("too_many_subscriptions", why));
        }
        state.generation
    };
    let subscription = Subscription::new(link, topic.clone(), events);
    let is_resume = since.is_some();
    let from = match (since, desk.config.on_join) {
        (Some(cursor), _) => From::Since(cursor),
        (None, OnJoin::Snapshot) => From::Snapshot,
        (None, OnJoin::All) => From::Oldest,
        (None, OnJoin::None) => From::Head,
    };
    let attached = desk
        .hub
        .attach(&topic, from, Arc::<Subscription>::clone(&subscription))
        .map_err(|error| match error {
            AttachError::TooManyTopics(_) => Problem::new("too_many_topics", error.to_string()),
            AttachError::TooManySubscribers => {
                Problem::new("too_many_subscribers", error.to_string())
            }
        })?;
    let recovered = is_resume && attached.gap.is_none();
    let cursor = attached.cursor.clone();
    let mut state = link.lock();
    if state.generation != generation || state.stage == Stage::Out {
        drop(state);
        return Err(Problem::new(
            "disconnected",
            "the connection was closed".to_owned(),
        ));
    }
    link.admit(&mut state, (&session, subscription), attached);
    Ok(json!({"ok": true, "topic": topic, "cursor": cursor, "recovered": recovered}))
}

fn unsubscribe_one(link: &Arc<Link>, wish: &Wish) -> Value {
    let left = {
        let mut state = link.lock();
        let found = state
            .subscriptions
            .iter()
            .position(|known| *known.topic() == wish.topic);
        let left = found.map(|at| state.subscriptions.swap_remove(at));
        let frame = messages::unsubscribed(&wish.session, &wish.topic, link.dialect);
        state.direct.push_back(Direct::Frames(frame));
        link.deliver(&mut state);
        left
    };
    if let Some(left) = left {
        left.end();
    }
    json!({"ok": true, "topic": wish.topic})
}

impl Link {
    /// Queues a message for this connection and sends what can be sent.
    pub(crate) fn answer(self: &Arc<Self>, frames: Bytes) {
        let mut state = self.lock();
        state.direct.push_back(Direct::Frames(frames));
        self.deliver(&mut state);
    }

    /// Lets a subscription begin: `subscribed`, the gap if there is one, the backlog; then the
    /// ring, by cursor.
    fn admit(
        self: &Arc<Self>,
        state: &mut State,
        (session, subscription): (&str, Arc<Subscription>),
        mut attached: Attached,
    ) {
        let topic = subscription.topic();
        let cursor = &attached.cursor;
        let subscribed = messages::subscribed(session, topic, cursor, self.dialect);
        state.direct.push_back(Direct::Frames(subscribed));
        if let Some(gap) = attached.gap.take() {
            let gap = messages::gap(topic, &gap, self.dialect);
            state.direct.push_back(Direct::Frames(gap));
        }
        let backlog = std::mem::take(&mut attached.backlog);
        let wanted = backlog
            .into_iter()
            .filter(|event| subscription.wants(&event.name));
        state.direct.extend(wanted.map(Direct::Replay));
        subscription.begin(attached);
        state.subscriptions.push(subscription);
        self.deliver(state);
    }
}

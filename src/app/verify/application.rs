//! The application of one client: it subscribes, listens, and knows where to go on.
//!
//! It sees what a callback sees. What a connection is it does not know; it is told when a new one
//! has joined, and whether the gateway has recovered its session.

use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::event::{Lane, Payload};
use super::ledger::{Ledger, Place, Wrong};
use super::scene::Scene;

/// The application of one client.
#[derive(Debug)]
pub(super) struct Application {
    topics: Vec<Watched>,
    /// From when on nothing has disturbed the connection, in microseconds of the run.
    undisturbed: u64,
}

/// A topic that it watches.
#[derive(Debug)]
struct Watched {
    number: usize,
    name: String,
    /// Of the last event, or where it was told that it begins.
    cursor: Option<String>,
    /// A `subscribed` has come in this session: the gateway restores it with the session.
    is_known: bool,
    /// A `subscribed` has yet to come on this connection.
    is_due: bool,
    ledger: Ledger,
}

#[derive(Deserialize)]
struct Subscribed {
    topic: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Gap {
    topic: String,
    from: String,
    to: String,
}

impl Application {
    /// An application that watches topics of a plan.
    pub(super) fn new(scene: &Scene, topics: &[usize]) -> Self {
        let watched = |number: &usize| Watched {
            number: *number,
            name: scene.plan.topics[*number].name.clone(),
            cursor: None,
            is_known: false,
            is_due: true,
            ledger: Ledger::default(),
        };
        Self {
            topics: topics.iter().map(watched).collect(),
            undisturbed: 0,
        }
    }

    /// A new connection has joined. Returns what the application emits: a good one subscribes
    /// again from where it was, unless its session was recovered and had confirmed the topic.
    pub(super) fn joined(&mut self, is_recovered: bool) -> Vec<String> {
        let mut emits = Vec::new();
        for topic in &mut self.topics {
            topic.is_due = true;
            // A request may be lost with its connection: then the session does not know of it.
            topic.is_known &= is_recovered;
            if !topic.is_known {
                emits.push(topic.subscribe());
            }
        }
        emits
    }

    /// Whether everything is subscribed on this connection.
    pub(super) fn is_back(&self) -> bool {
        self.topics.iter().all(|topic| !topic.is_due)
    }

    /// What has yet to be subscribed on this connection, for people.
    pub(super) fn due(&self) -> String {
        let due = self.topics.iter().filter(|topic| topic.is_due);
        let due: Vec<_> = due
            .map(|topic| format!("{} from {:?}", topic.name, topic.cursor))
            .collect();
        due.join(", ")
    }

    /// From now on latencies are the gateway's alone.
    pub(super) fn is_undisturbed(&mut self, since: u64) {
        self.undisturbed = since;
    }

    /// A callback.
    pub(super) fn on(&mut self, name: &str, data: &RawValue, scene: &Scene) -> anyhow::Result<()> {
        match name {
            "subscribed" => {
                let told: Subscribed = serde_json::from_str(data.get())?;
                if let Some(topic) = self.topic(&told.topic) {
                    topic.is_due = false;
                    topic.is_known = true;
                    topic.ledger.subscribed(Place::parse(&told.cursor));
                    topic.cursor.get_or_insert(told.cursor);
                }
            }
            "gap" => {
                let told: Gap = serde_json::from_str(data.get())?;
                let places = Place::parse(&told.from).zip(Place::parse(&told.to));
                if let Some((topic, (from, to))) = self.topic(&told.topic).zip(places) {
                    topic.ledger.gap(from, to);
                }
            }
            "error" => bail!("the gateway refused: {data}"),
            _ => {
                if let Some(lane) = Lane::of(name) {
                    self.event(lane, data, scene);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, lane: Lane, data: &RawValue, scene: &Scene) {
        let Ok(event) = serde_json::from_str::<Payload>(data.get()) else {
            let what = format!("an event is not as it was published: {data}");
            scene.tally.complain(what);
            self.topics[0].ledger.unreadable();
            return;
        };
        let undisturbed = self.undisturbed;
        let Some(topic) = self.topic(&event.topic) else {
            scene.tally.complain(format!(
                "an event of `{}`, which this client does not watch",
                event.topic
            ));
            self.topics[0].ledger.unreadable();
            return;
        };
        let before = *topic.ledger.wrong();
        topic.ledger.see(lane, &event);
        if *topic.ledger.wrong() != before {
            let what = format!(
                "{} {lane:?} {} of producer {:?} (seq {}, replayed: {}) came when {} was expected",
                topic.name,
                event.n,
                event.stream(lane).producer,
                event.seq,
                event.is_replayed,
                topic.cursor.as_deref().unwrap_or("nothing"),
            );
            scene.tally.complain(what);
        }
        topic.cursor = Some(format!("{}:{}", event.epoch, event.seq));
        scene.tally.delivered.up();
        if !event.is_replayed && event.at > undisturbed {
            let late = scene.now().saturating_sub(event.at);
            scene.tally.notes().delivery.add(late);
        }
    }

    fn topic(&mut self, name: &str) -> Option<&mut Watched> {
        self.topics.iter_mut().find(|topic| topic.name == name)
    }

    /// Whether everything has come that producers have receipts of.
    pub(super) fn is_whole(&self, scene: &Scene) -> bool {
        let mut topics = self.topics.iter();
        topics.all(|topic| topic.ledger.is_whole(&scene.published.topic(topic.number)))
    }

    /// The verdict over all topics.
    pub(super) fn verdict(&self, scene: &Scene) -> Wrong {
        let mut sum = Wrong::default();
        for topic in &self.topics {
            sum.add(&topic.ledger.verdict(&scene.published.topic(topic.number)));
        }
        sum
    }
}

impl Watched {
    fn subscribe(&self) -> String {
        let mut wish = match self.name.strip_prefix("session:") {
            // The short form is what the first applications use.
            Some(session) if self.cursor.is_none() => Value::from(session),
            Some(session) => json!({"sessionId": session}),
            None => json!({"topic": self.name}),
        };
        if let Some(cursor) = &self.cursor {
            wish["since"] = Value::from(cursor.as_str());
        }
        format!("42{}", json!(["subscribe", wish]))
    }
}

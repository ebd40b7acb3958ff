//! The fold: what a late joiner must know of a topic, kept up to date event by event.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::topic::{Class, Event, EventName, Job, Kind, Seq, Stage, Step};

/// Names of states that tell how far a topic has come.
const PROGRESS: [&str; 2] = ["progress", "file_processing"];

/// How far the story of a topic has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No event has ended it.
    #[default]
    Active,
    /// A terminal event ended it well.
    Completed,
    /// A terminal `error` or `failed` ended it.
    Failed,
}

impl Status {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// What a terminal event of this name leads to.
    pub fn after(name: &EventName) -> Self {
        match name.as_str() {
            "error" | "failed" | "job_failed" => Self::Failed,
            _ => Self::Completed,
        }
    }
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum ClarificationStatus {
    /// Nobody has answered yet.
    Pending,
    /// The first valid answer.
    Answered {
        /// The answer.
        response: Value,
        /// When it came, ISO 8601.
        at: String,
        /// Who gave it.
        by: String,
    },
    /// Its time ran out and there was no default.
    Expired,
}

/// A question to the user: durable, delivered on every join while it is open.
#[derive(Debug, Clone)]
pub struct Clarification {
    /// Its id within the topic.
    pub id: String,
    /// The question.
    pub question: String,
    /// Whatever the producer added for the reader.
    pub context: Option<Value>,
    /// JSON Schema of the answer.
    pub schema: Option<Value>,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<i64>,
    /// The answer that is taken at expiry.
    pub default: Option<Value>,
    /// What became of it.
    pub status: ClarificationStatus,
    /// The event that asked it.
    pub asked: Arc<Event>,
}

/// The fields of a `clarification` payload that the gateway reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    clarification_id: Value,
    #[serde(default)]
    question: String,
    context: Option<Value>,
    schema: Option<Value>,
    #[serde(default)]
    expires_at: Option<String>,
    default: Option<Value>,
    #[serde(default)]
    status: String,
    response: Option<Value>,
    #[serde(default)]
    answered_at: Option<String>,
    #[serde(default)]
    answered_by: Option<String>,
}

/// The bounds of a fold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most (name, key) pairs whose newest state is kept.
    pub states_max: usize,
    /// Most facts that are kept.
    pub facts_max: usize,
    /// Most questions that are kept, answered ones included.
    pub clarifications_max: usize,
}

/// What a late joiner must know.
#[derive(Debug)]
pub struct Fold {
    bounds: Bounds,
    states: HashMap<(EventName, Option<Box<str>>), Arc<Event>>,
    facts: VecDeque<Arc<Event>>,
    clarifications: BTreeMap<String, Clarification>,
    terminal: Option<Arc<Event>>,
    owner: Option<Arc<str>>,
    /// The numbers of the first and the last terminal event, also of an earlier attempt.
    terminals: Option<(Seq, Seq)>,
    /// Of a topic of kind job, once one of its events is a step.
    job: Option<Box<Job>>,
}

impl Fold {
    /// The fold of an empty topic.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            states: HashMap::new(),
            facts: VecDeque::new(),
            clarifications: BTreeMap::new(),
            terminal: None,
            owner: None,
            terminals: None,
            job: None,
        }
    }

    /// The user whose topic it is, once an event has said so.
    pub const fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// Notes whose topic it is, when the event that said so has left the log.
    pub(crate) fn own(&mut self, owner: Option<Arc<str>>) {
        if owner.is_some() {
            self.owner = owner;
        }
    }

    /// Takes in the next event. At a bound the oldest of its sort makes room.
    pub fn apply(&mut self, event: &Arc<Event>) {
        if self.owner.is_none() {
            self.owner.clone_from(&event.owner);
        }
        if event.topic.kind() == Kind::Session
            && event.name.as_str() == "clarification"
            && self.ask_or_answer(event)
        {
            return;
        }
        if event.topic.kind() == Kind::Job {
            self.apply_to_job(event);
        }
        match event.class {
            Class::State => self.keep_state(event),
            Class::Fact => {
                self.facts.push_back(Arc::clone(event));
                if self.facts.len() > self.bounds.facts_max {
                    self.facts.pop_front();
                }
            }
            Class::Terminal => {
                let first = self.terminals.map_or(event.seq, |(first, _)| first);
                self.terminals = Some((first, event.seq));
                self.terminal = Some(Arc::clone(event));
            }
        }
    }

    fn apply_to_job(&mut self, event: &Arc<Event>) {
        match &mut self.job {
            Some(job) => drop(job.apply(event)),
            None => self.job = Job::begin(event).map(Box::new),
        }
        // A job that begins anew has no end yet, and how far it had come is of no interest.
        if Step::of(&event.name, event.class) == Some(Step::Retry) {
            self.terminal = None;
            self.states.clear();
        }
    }

    fn keep_state(&mut self, event: &Arc<Event>) {
        self.states
            .insert((event.name.clone(), event.key.clone()), Arc::clone(event));
        if self.states.len() > self.bounds.states_max {
            let oldest = self.states.iter().min_by_key(|(_, event)| event.seq);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.states.remove(&oldest);
            }
        }
    }

    /// Whether the event was a question or the end of one.
    fn ask_or_answer(&mut self, event: &Arc<Event>) -> bool {
        let fields = event.payload.json().map(serde_json::from_str::<Fields>);
        let Some(Ok(fields)) = fields else {
            return false;
        };
        let id = match fields.clarification_id {
            Value::String(id) => id,
            other => other.to_string(),
        };
        let ended = match fields.status.as_str() {
            "answered" => Some(ClarificationStatus::Answered {
                response: fields.response.unwrap_or(Value::Null),
                at: fields.answered_at.unwrap_or_else(|| event.timestamp()),
                by: fields.answered_by.unwrap_or_else(|| "producer".to_owned()),
            }),
            "expired" => Some(ClarificationStatus::Expired),
            _ => None,
        };
        if let Some(ended) = ended {
            if let Some(known) = self.clarifications.get_mut(&id)
                && known.status == ClarificationStatus::Pending
            {
                known.status = ended;
            }
            return true;
        }
        let expires_at_ms = fields
            .expires_at
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map(jiff::Timestamp::as_millisecond);
        let clarification = Clarification {
            id: id.clone(),
            question: fields.question,
            context: fields.context,
            schema: fields.schema,
            expires_at_ms,
            default: fields.default,
            status: ClarificationStatus::Pending,
            asked: Arc::clone(event),
        };
        self.clarifications.insert(id, clarification);
        if self.clarifications.len() > self.bounds.clarifications_max {
            self.forget_a_clarification();
        }
        true
    }

    /// The oldest that has ended goes first, then the oldest of all.
    fn forget_a_clarification(&mut self) {
        let rank = |c: &Clarification| (c.status == ClarificationStatus::Pending, c.asked.seq);
        let oldest = self
            .clarifications
            .values()
            .min_by_key(|c| rank(c))
            .map(|c| c.id.clone());
        if let Some(oldest) = oldest {
            self.clarifications.remove(&oldest);
        }
    }

    /// What a joiner is sent, in log order: the newest of each state, the facts, the open
    /// questions and the terminal event.
    pub fn snapshot(&self) -> Vec<Arc<Event>> {
        let open = self.open_clarifications().map(|c| &c.asked);
        let mut events: Vec<_> = self
            .states
            .values()
            .chain(&self.facts)
            .chain(open)
            .chain(&self.terminal)
            .map(Arc::clone)
            .collect();
        events.sort_unstable_by_key(|event| event.seq);
        events
    }

    /// What must be kept when the log drops its oldest events, in log order: what a joiner is sent,
    /// and what the job depends on.
    pub fn kept(&self) -> Vec<Arc<Event>> {
        let mut events = self.snapshot();
        if let Some(job) = &self.job {
            events.extend(job.pins().map(Arc::clone));
            events.sort_unstable_by_key(|event| event.seq);
            events.dedup_by_key(|event| event.seq);
        }
        events
    }

    /// The job, if the topic is one and has begun.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_deref()
    }

    /// Where the job stands.
    pub fn stage(&self) -> Stage {
        self.job().map_or_else(Stage::default, Job::stage)
    }

    /// The newest event of each (name, key) of class state, oldest first.
    pub fn states(&self) -> Vec<&Arc<Event>> {
        let mut states: Vec<_> = self.states.values().collect();
        states.sort_unstable_by_key(|event| event.seq);
        states
    }

    /// The newest event of a name without key.
    pub fn state(&self, name: &str) -> Option<&Arc<Event>> {
        self.states
            .values()
            .filter(|e| e.name.as_str() == name)
            .max_by_key(|event| event.seq)
    }

    /// The newest state that tells how far the topic has come.
    pub fn newest_progress(&self) -> Option<&Arc<Event>> {
        let tells = |event: &&Arc<Event>| PROGRESS.contains(&event.name.as_str());
        self.states
            .values()
            .filter(tells)
            .max_by_key(|event| event.seq)
    }

    /// Whether the newest state of an event's name and key is known.
    pub fn holds_state(&self, event: &Event) -> bool {
        self.newest_like(event).is_some()
    }

    /// Whether a newer state stands for this one, and certainly no terminal event lies between.
    pub fn supersedes(&self, event: &Event) -> bool {
        let is_same_story = |newest: &Event| {
            self.terminals
                .is_none_or(|(first, last)| newest.seq < first || event.seq > last)
        };
        self.newest_like(event)
            .is_some_and(|newest| newest.seq > event.seq && is_same_story(newest))
    }

    fn newest_like(&self, event: &Event) -> Option<&Arc<Event>> {
        self.states.get(&(event.name.clone(), event.key.clone()))
    }

    /// The facts, oldest first.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = &Arc<Event>> {
        self.facts.iter()
    }

    /// The questions nobody has answered, in the order of their ids.
    pub fn open_clarifications(&self) -> impl Iterator<Item = &Clarification> {
        self.clarifications
            .values()
            .filter(|c| c.status == ClarificationStatus::Pending)
    }

    /// A question, open or not.
    pub fn clarification(&self, id: &str) -> Option<&Clarification> {
        self.clarifications.get(id)
    }

    /// The newest terminal event.
    pub const fn terminal(&self) -> Option<&Arc<Event>> {
        self.terminal.as_ref()
    }

    /// How far the story has come.
    pub fn status(&self) -> Status {
        self.terminal
            .as_ref()
            .map_or(Status::Active, |event| Status::after(&event.name))
    }
}

#[cfg(test)]
mod tests;

//! The bridges at work: from a channel to the log, or to the sockets of this node.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rmpv::Value;
use tokio::sync::mpsc;

use crate::drain::Drain;
use crate::hub::Hub;
use crate::origin::Origin;
use crate::producer::bridges::action::{Action, Aim, Arguments, Broken, has_bytes};
use crate::producer::bridges::{Bridge, Bridges, emitter, plain, python};
use crate::store::{Heard, Lease};
use crate::topic::{Draft, EventName, REVOCATIONS, TopicName};

/// Queues of events that are to be appended; the events of a topic are in one of them.
const QUEUES: usize = 16;

/// The counters of the bridges.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    messages: Family<Fate, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fate {
    fate: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tidings_bridge_messages",
            "Messages of other emitters, by what became of them",
            metrics.messages.clone(),
        );
        metrics
    }

    fn count(&self, fate: &'static str, messages: u64) {
        self.messages.get_or_create(&Fate { fate }).inc_by(messages);
    }
}

struct Worker {
    config: Bridges,
    lease: Lease,
    queues: Vec<mpsc::Sender<Draft>>,
    actions: mpsc::Sender<Action>,
    metrics: Metrics,
}

pub(super) fn start(
    config: &Bridges,
    (hub, drain): (&Hub, &Drain),
    metrics: &Metrics,
    actions: mpsc::Sender<Action>,
) {
    if config.read.is_empty() {
        return;
    }
    let Some((intake, lease)) = hub
        .store()
        .intake(patterns(config), (config.lease_age, drain))
    else {
        return;
    };
    let queues = (0..QUEUES)
        .map(|_| {
            let (sender, drafts) = mpsc::channel(config.queue_max.max(1));
            let (hub, metrics) = (hub.clone(), metrics.clone());
            drain.spawn(append_all(hub, drafts, metrics));
            sender
        })
        .collect();
    let worker = Worker {
        config: config.clone(),
        lease,
        queues,
        actions,
        metrics: metrics.clone(),
    };
    let (sender, mut heard) = mpsc::channel(config.queue_max.max(1));
    let until = drain.clone();
    drain.spawn(async move { intake.run(until, sender).await });
    drain.spawn(async move {
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Message { channel, data } => worker.take(&channel, &data).await,
                Heard::Lost(lost) => {
                    tracing::warn!(
                        lost,
                        "messages of other emitters came too fast, and are lost"
                    );
                    worker.metrics.count("lost", lost);
                }
            }
        }
    });
}

fn patterns(config: &Bridges) -> Vec<String> {
    let mut patterns = Vec::new();
    for bridge in &config.read {
        match bridge {
            Bridge::Emitter => {
                patterns.push(format!("{}#/#*", escaped(&config.emitter_key)));
                patterns.push(format!("{}-request#/#", escaped(&config.emitter_key)));
            }
            Bridge::Manager => patterns.push(escaped(&config.manager_channel)),
            Bridge::Plain => patterns.push("session:*:*".to_owned()),
        }
    }
    patterns
}

/// A text that matches itself alone in a pattern.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

async fn append_all(hub: Hub, mut drafts: mpsc::Receiver<Draft>, metrics: Metrics) {
    while let Some(draft) = drafts.recv().await {
        let topic = draft.topic().clone();
        match Origin::of("bridge").scope(hub.append(draft, None)).await {
            Ok(_) => metrics.count("appended", 1),
            Err(error) => {
                tracing::warn!(%topic, %error, "an event of another emitter was refused");
                metrics.count("refused", 1);
            }
        }
    }
}

impl Worker {
    async fn take(&self, channel: &str, data: &Bytes) {
        if data.len() > self.config.message_bytes_max.bytes() {
            return self.metrics.count("too_big", 1);
        }
        let key = self.config.emitter_key.as_str();
        let understood = if channel == self.config.manager_channel {
            python::message(data)
        } else if let Some(rest) = channel.strip_prefix(key) {
            if rest.starts_with("-request") {
                emitter::request(data)
            } else {
                emitter::packet(data)
            }
        } else {
            match plain::message(channel, data) {
                Ok(draft) => return self.record(draft).await,
                Err(broken) => Err(broken),
            }
        };
        match understood {
            Ok(Some(action)) => self.act(action).await,
            Ok(None) => self.metrics.count("passed_over", 1),
            Err(Broken) => {
                tracing::debug!(channel, "a message of another emitter is not understood");
                self.metrics.count("broken", 1);
            }
        }
    }

    async fn act(&self, action: Action) {
        let action = match action {
            Action::Emit {
                event,
                arguments,
                mut aim,
            } => {
                if event.parse::<EventName>().is_err() {
                    return self.metrics.count("broken", 1);
                }
                if let Some(draft) = recordable(&event, &arguments, &aim) {
                    self.record(draft).await;
                    aim.is_recorded = true;
                }
                Action::Emit {
                    event,
                    arguments,
                    aim,
                }
            }
            other => other,
        };
        self.metrics.count("acted", 1);
        // The sockets go first when there is a drain: then there is nobody to tell.
        let _ = self.actions.send(action).await;
    }

    /// Has an event appended, if this is the node that does so.
    async fn record(&self, draft: Draft) {
        if !self.lease.is_held() {
            return self.metrics.count("left_to_another", 1);
        }
        let mut hasher = DefaultHasher::new();
        draft.topic().hash(&mut hasher);
        let queue = usize::try_from(hasher.finish() % QUEUES as u64).unwrap_or(0);
        let _ = self.queues[queue].send(draft).await;
    }
}

/// The event as it is recorded: it goes to one room that is a topic, and has one argument.
fn recordable(event: &str, arguments: &Arguments, aim: &Aim) -> Option<Draft> {
    let ([room], [], [argument]) = (
        aim.rooms.as_slice(),
        aim.except.as_slice(),
        arguments.0.as_slice(),
    ) else {
        return None;
    };
    let topic = TopicName::of_session(room).ok()?;
    if topic.as_str() == REVOCATIONS {
        return None;
    }
    let event: EventName = event.parse().ok()?;
    if let Value::Binary(bytes) = argument {
        return Draft::binary(topic, event, Bytes::copy_from_slice(bytes)).ok();
    }
    if has_bytes(argument) {
        return None;
    }
    let text = serde_json::to_string(argument).ok()?;
    Draft::untouched(topic, event, &text).ok()
}

//! What the assist dialect asks for, and the users it knows.

mod crowd;
mod notes;

use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use self::crowd::{Crowd, Member, room_event};

use crate::auth::{self, Principal};
use crate::face::ws::Apps;
use crate::hub::{Hub, TopicFilter};
use crate::producer::monitor::{Account, Watch};
use crate::topic::{Event, Kind, TopicName};

/// Most jobs or documents in one list.
const LIST_MAX: usize = 1000;

/// The event that a document's processing begins with, and the one that it ends with.
const STARTED: &str = "document_processing_start";
const ENDED: &str = "document_processing_complete";

/// What a client of Assist wants.
#[derive(Debug)]
pub(crate) enum AssistAsk {
    /// To be one of the crowd.
    Enter(String),
    /// To watch an account of the monitor.
    Watch(Account),
    /// The jobs that have not ended.
    Jobs(Arc<Principal>),
    /// The documents that are being processed: of one user, or of all.
    Documents(Option<String>),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum AssistAnswer {
    /// The client is one of the crowd as long as this lives.
    Entered(Box<Member>),
    /// The account is kept as long as this lives; what it says now.
    Watching(Watch, Value),
    /// Jobs.
    Jobs(Vec<Value>),
    /// Documents.
    Documents(Vec<Value>),
}

impl Apps {
    /// Does what a client of Assist asked.
    pub(super) async fn assist(&self, hub: &Hub, ask: AssistAsk) -> AssistAnswer {
        match ask {
            AssistAsk::Enter(user) => {
                AssistAnswer::Entered(Box::new(self.crowd.enter(&user).await))
            }
            AssistAsk::Watch(account) => {
                let watch = self.monitor.watch(account);
                let now = match account {
                    Account::Metrics => self.monitor.sample().await,
                    Account::Jobs => json!(jobs(hub, None).await),
                    Account::Documents => Value::Null,
                };
                AssistAnswer::Watching(watch, now)
            }
            AssistAsk::Jobs(principal) => AssistAnswer::Jobs(jobs(hub, Some(&principal)).await),
            AssistAsk::Documents(user) => {
                AssistAnswer::Documents(documents(hub, user.as_deref()).await)
            }
        }
    }
}

/// The jobs that have not ended, as far as somebody may read them.
async fn jobs(hub: &Hub, principal: Option<&Principal>) -> Vec<Value> {
    let mut listed = Vec::new();
    let may_read = |topic: &TopicName, owner: Option<&str>| {
        principal.is_none_or(|principal| auth::may(principal, auth::Action::Read, topic, owner))
    };
    let page = match hub.jobs(None, None, LIST_MAX, may_read).await {
        Ok(page) => page,
        Err(error) => {
            tracing::warn!(%error, "the jobs cannot be listed");
            return listed;
        }
    };
    for job in page.jobs {
        if job.status().is_final() {
            continue;
        }
        let record = job.record();
        listed.push(json!({
            "job_id": record.id,
            "name": record.name,
            "type": record.kind,
            "status": record.status,
            "progress": record.progress,
        }));
    }
    listed
}

/// The documents whose processing has begun and not ended.
async fn documents(hub: &Hub, user: Option<&str>) -> Vec<Value> {
    let mut listed = Vec::new();
    let mut filter = TopicFilter {
        kind: Some(Kind::Documents),
        ..TopicFilter::default()
    };
    if let Some(user) = user {
        if let Ok(name) = TopicName::new(Kind::Documents, user) {
            documents_of(hub, &name, &mut listed).await;
        }
        return listed;
    }
    while listed.len() < LIST_MAX {
        let Ok(page) = hub.topics(&filter, 64, |_, _| true).await else {
            break;
        };
        for line in &page.topics {
            documents_of(hub, &line.topic, &mut listed).await;
        }
        match page.topics.last() {
            Some(last) if page.more => filter.after = Some(last.topic.as_str().to_owned()),
            _ => break,
        }
        tokio::task::yield_now().await;
    }
    listed.truncate(LIST_MAX);
    listed
}

/// Those of one user. While the store is away nobody knows of any.
async fn documents_of(hub: &Hub, name: &TopicName, listed: &mut Vec<Value>) {
    match hub.open(name).await {
        Ok(Some(topic)) => open_documents(&topic.snapshot().facts, listed),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "documents cannot be listed"),
    }
}

fn open_documents(events: &[Arc<Event>], listed: &mut Vec<Value>) {
    let first = listed.len();
    for event in events {
        let data: Value = event
            .payload
            .json()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let id = &data["document_id"];
        match event.name.as_str() {
            STARTED => listed.push(json!({
                "document_id": id,
                "filename": data["filename"],
                "status": "processing",
                "started_at": event.timestamp(),
            })),
            ENDED => {
                let known = listed[first..]
                    .iter()
                    .position(|one| one["document_id"] == *id);
                if let Some(at) = known {
                    listed.remove(first + at);
                }
            }
            _ => {}
        }
    }
}

//! Namespace `/producers`: publish with an acknowledgement, and ask with the answer as one.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::auth::Action;
use crate::connection::{Admission, owner_of};
use crate::drain::Drain;
use crate::face::socketio::entering;
use crate::face::socketio::link::Link;
use crate::face::socketio::messages::Problem;
use crate::face::socketio::pacing::{Reply, acknowledge};
use crate::face::socketio::requests::Desk;
use crate::hub::{AppendError, Hub, Idempotency, WaitError};
use crate::limit::{Account, Limit};
use crate::origin::Origin;
use crate::store;
use crate::topic::{Class, Draft, EventName, TopicName};

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    topic: String,
    name: String,
    #[serde(default)]
    data: Value,
    data_base64: Option<String>,
    class: Option<Class>,
    key: Option<String>,
    #[serde(default)]
    terminal: bool,
    attempt: Option<NonZeroU32>,
    idempotency_key: Option<String>,
    owner: Option<String>,
}

/// Publishes an event. Returns the receipt or the problem.
pub(crate) async fn publish(
    from: (&Desk, &Link),
    admission: &Admission,
    data: Option<Value>,
) -> Value {
    match append(from, admission, data).await {
        Ok(receipt) => receipt,
        Err(problem) => json!(problem),
    }
}

/// Publishes a `clarification` and acknowledges with its answer, when it comes. The wait is a task
/// of its own, so that other requests of the connection go on.
pub(crate) async fn ask(
    (desk, link): (&Desk, &Arc<Link>),
    admission: &Admission,
    data: Option<Value>,
    (ack, left): (Reply, CancellationToken),
) {
    let data = data.map(|mut data| {
        if let Some(fields) = data.as_object_mut() {
            fields
                .entry("name")
                .or_insert_with(|| json!("clarification"));
            let question = fields.entry("data").or_insert_with(|| json!({}));
            if let Some(question) = question.as_object_mut() {
                let id = || json!(uuid::Uuid::new_v4().to_string());
                question.entry("clarificationId").or_insert_with(id);
            }
        }
        data
    });
    let id = data
        .as_ref()
        .and_then(|data| data["data"]["clarificationId"].as_str());
    let (Some(id), Some(name)) = (
        id.map(str::to_owned),
        data.as_ref()
            .and_then(|data| data["topic"].as_str()?.parse::<TopicName>().ok()),
    ) else {
        let why = "give {topic, data: {question, schema?, default?, expiresAt?}}".to_owned();
        acknowledge(link, ack, &json!(Problem::new("invalid_event", why)));
        return;
    };
    if let Err(problem) = append((desk, link), admission, data).await {
        acknowledge(link, ack, &json!(problem));
        return;
    }
    let (link, hub, drain) = (Arc::clone(link), desk.hub.clone(), desk.drain.clone());
    desk.drain.spawn(async move {
        tokio::select! {
            answer = answer(&hub, &drain, (&name, &id)) => acknowledge(&link, ack, &answer),
            () = left.cancelled() => {}
        }
    });
}

/// The answer to a question, when it comes, or why there will be none.
/// How long after the store could not be asked it is asked again.
const STORE_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

async fn answer(hub: &Hub, drain: &Drain, (name, id): (&TopicName, &str)) -> Value {
    loop {
        match hub
            .wait_for_answer(name, id, hub.config().answer_wait_max)
            .await
        {
            Ok(Some(answer)) => return json!(answer),
            Ok(None) if drain.is_draining() => {
                let why = "the node is draining: ask for the answer again".to_owned();
                return json!(Problem::new("draining", why));
            }
            Ok(None) => {}
            Err(error @ WaitError::Expired) => {
                return json!(Problem::new("expired", error.to_string()));
            }
            Err(error @ WaitError::Unknown) => {
                return json!(Problem::new("unknown_clarification", error.to_string()));
            }
            // The question is durable: the worker's answer comes when the store is back.
            Err(WaitError::Store(_)) => tokio::select! {
                () = tokio::time::sleep(STORE_AGAIN) => {}
                () = drain.begun() => {}
            },
        }
    }
}

async fn append(
    (desk, link): (&Desk, &Link),
    admission: &Admission,
    data: Option<Value>,
) -> Result<Value, Problem> {
    let invalid = |why: String| Problem::new("invalid_event", why);
    let data = data.ok_or_else(|| invalid("give {topic, name, data}".to_owned()))?;
    let publish: Publish =
        serde_json::from_value(data).map_err(|error| invalid(error.to_string()))?;
    let key = publish.idempotency_key.as_deref();
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
        return Err(invalid(
            "`idempotency_key` must have 1 to 255 bytes".to_owned(),
        ));
    }
    let draft = draft(&publish)?;
    let topic = draft.topic();
    let may_publish = admission.may(Action::Publish, topic).await;
    if !may_publish.map_err(|error| Problem::new("store_away", error.to_string()))? {
        let why = format!("you may not publish to `{topic}`");
        return Err(Problem::new("forbidden", why));
    }
    count(desk, link, admission)?;
    let principal = admission.principal();
    let draft = draft
        .with_owner(owner_of(&principal, publish.owner.as_deref()))
        .map_err(|error| invalid(error.to_string()))?;
    let appending = desk.hub.append(draft, key.map(Idempotency));
    let receipt = Origin::of("socketio")
        .scope(appending)
        .await
        .map_err(|error| {
            if let Some(limit) = limit_of(&error) {
                desk.door.limits().count(limit);
            }
            let code = match &error {
                AppendError::TooBig { .. } => "payload_too_large",
                AppendError::TooDeep(_) => "invalid_payload",
                AppendError::TooManyTopics(_) => "too_many_topics",
                AppendError::Store(store::Error::Full | store::Error::DiskFull) => "store_full",
                AppendError::Store(
                    store::Error::Unavailable(_)
                    | store::Error::Away
                    | store::Error::Busy
                    | store::Error::Overtaken,
                ) => "store_away",
                AppendError::KeyReused => "idempotency_key_reused",
                AppendError::KeyInFlight => "idempotency_key_in_flight",
                AppendError::AskedAlready(_) => "asked_already",
                AppendError::BadQuestion(_) => "invalid_clarification",
                AppendError::Forbidden(_) => "job_state",
            };
            Problem::new(code, error.to_string())
        })?;
    Ok(json!(receipt))
}

/// The limit that an append reached, if it is one.
const fn limit_of(error: &AppendError) -> Option<Limit> {
    match error {
        AppendError::TooBig { .. } => Some(Limit::PayloadBytes),
        AppendError::TooDeep(_) => Some(Limit::PayloadDepth),
        AppendError::TooManyTopics(_) => Some(Limit::Topics),
        _ => None,
    }
}

/// Counts an event. Nothing is counted of this machine where nobody has to show who they are.
fn count(desk: &Desk, link: &Link, admission: &Admission) -> Result<(), Problem> {
    let account = entering::account(link, admission);
    let is_local = link.ticket.as_ref().is_none_or(|ticket| ticket.is_local());
    if is_local && matches!(account, Account::Connection(_)) {
        return Ok(());
    }
    let counted = desk.door.limits().publish(&account, 1);
    counted
        .map(drop)
        .map_err(|reached| Problem::new("limit_reached", reached.to_string()))
}

fn draft(publish: &Publish) -> Result<Draft, Problem> {
    use base64::Engine as _;

    let topic = publish
        .topic
        .parse::<TopicName>()
        .map_err(|error| Problem::new("invalid_topic", error.to_string()))?;
    let name = publish
        .name
        .parse::<EventName>()
        .map_err(|error| Problem::new("invalid_event_name", error.to_string()))?;
    let class = if publish.terminal {
        Some(Class::Terminal)
    } else {
        publish.class
    };
    let draft = match &publish.data_base64 {
        None => Draft::json(topic, name, &publish.data.to_string()),
        Some(text) => {
            let data = base64::engine::general_purpose::STANDARD.decode(text);
            let data = data.map_err(|_| {
                Problem::new("invalid_event", "`data_base64` is not base64".to_owned())
            })?;
            Draft::binary(topic, name, data.into())
        }
    };
    draft
        .and_then(|draft| {
            let draft = draft.with_class(class).with_attempt(publish.attempt);
            draft.with_key(publish.key.as_deref())
        })
        .map_err(|error| Problem::new("invalid_payload", error.to_string()))
}

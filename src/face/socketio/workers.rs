//! Workers on `/producers`: one waits to hear that its job is to be given up.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::auth::Action;
use crate::connection::Admission;
use crate::drain::Drain;
use crate::face::socketio::link::Link;
use crate::face::socketio::messages::Problem;
use crate::face::socketio::pacing::{Reply, acknowledge};
use crate::face::socketio::requests::Desk;
use crate::hub::{Hub, JobError};
use crate::topic::{Kind, TopicName};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwaitCancel {
    job_id: String,
    attempt: Option<NonZeroU32>,
}

/// Acknowledges when somebody wants a job to be given up, or when there is nothing to give up any
/// more. The wait is a task of its own, so that other requests of the connection go on.
pub(crate) async fn await_cancel(
    (desk, link): (&Desk, &Arc<Link>),
    admission: &Admission,
    data: Option<Value>,
    (ack, left): (Reply, CancellationToken),
) {
    let read = serde_json::from_value::<AwaitCancel>(data.unwrap_or_default())
        .map_err(|error| {
            Problem::new(
                "invalid_request",
                format!("give {{job_id, attempt?}}: {error}"),
            )
        })
        .and_then(|asked| {
            let topic = TopicName::new(Kind::Job, &asked.job_id)
                .map_err(|error| Problem::new("invalid_topic", error.to_string()))?;
            Ok((topic, asked.attempt))
        });
    let read = match read {
        Ok((topic, attempt)) => match admission.may(Action::Await, &topic).await {
            Ok(true) => Ok((topic, attempt)),
            Ok(false) => Err(Problem::new("job_unknown", JobError::Unknown.to_string())),
            Err(error) => Err(Problem::new("store_away", error.to_string())),
        },
        Err(problem) => Err(problem),
    };
    let (topic, attempt) = match read {
        Ok(read) => read,
        Err(problem) => return acknowledge(link, ack, &json!(problem)),
    };
    let (link, hub, drain) = (Arc::clone(link), desk.hub.clone(), desk.drain.clone());
    desk.drain.spawn(async move {
        tokio::select! {
            told = told(&hub, &drain, (&topic, attempt)) => acknowledge(&link, ack, &told),
            () = left.cancelled() => {}
        }
    });
}

/// How long after the store could not be asked it is asked again.
const STORE_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// The request to cancel, when it comes, or why there will be none.
async fn told(
    hub: &Hub,
    drain: &Drain,
    (topic, attempt): (&TopicName, Option<NonZeroU32>),
) -> Value {
    loop {
        let wait = hub.config().answer_wait_max;
        match hub.wait_for_cancel(topic, attempt, wait).await {
            Ok(Some(request)) => {
                return json!({
                    "id": topic.id(),
                    "cancelling": true,
                    "reason": request.reason,
                    "requested_at": request.requested_at,
                });
            }
            Ok(None) if drain.is_draining() => {
                return json!(Problem::new(
                    "draining",
                    "the node is draining: ask again".to_owned()
                ));
            }
            Ok(None) => {}
            Err(JobError::Store(_)) => tokio::select! {
                () = tokio::time::sleep(STORE_AGAIN) => {}
                () = drain.begun() => {}
            },
            Err(error @ JobError::Unknown) => {
                return json!(Problem::new("job_unknown", error.to_string()));
            }
            Err(error @ JobError::Forbidden(_)) => {
                return json!(Problem::new("job_state", error.to_string()));
            }
        }
    }
}

//! The worker's side of a clarification: waiting for the answer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::auth::Action;
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;
use crate::face::http::extract::{PathTexts, Query, Wait};
use crate::face::http::refusal::{Code, Refusal};
use crate::hub::WaitError;
use crate::topic::TopicName;

/// `GET /v1/topics/{topic}/clarifications/{id}/answer`
///
/// The wait ends with the answer, with the expiry, after `wait` (at most `hub.answer_wait_max`), or
/// when the gateway drains; still open then is 204, and the worker asks again.
pub(crate) async fn wait(
    State(state): State<http::State>,
    PathTexts(texts): PathTexts,
    Query(Wait { wait }): Query<Wait>,
    caller: Caller,
) -> Result<Response, Refusal> {
    let [topic, id] = texts.as_slice() else {
        return Err(Refusal::new(
            Code::Internal,
            "the path has a topic and an id",
        ));
    };
    let topic: TopicName = topic.parse()?;
    caller
        .must(Action::Await, &topic, |_| WaitError::Unknown.into())
        .await?;
    match state.hub().wait_for_answer(&topic, id, wait).await? {
        Some(answer) => Ok(exchange::to_json(&answer)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

//! Who is connected to this node, what limits hold, and who went and why: for administrators.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::connection::{Ended, Present};
use crate::face::http;
use crate::face::http::exchange;
use crate::face::http::extract::Query;
use crate::face::http::refusal::Refusal;

/// Which connections are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    limit: Option<usize>,
    /// Text that the id, the principal, the address, the path or a topic has.
    find: Option<String>,
}

/// The connections of this node.
#[derive(Debug, Serialize)]
struct Answer {
    /// How many there are.
    total: usize,
    /// How many there are of each face.
    faces: BTreeMap<&'static str, u64>,
    /// How many have ended, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// The newest that were asked for.
    connections: Vec<Present>,
    /// Those that ended, the last first.
    ended: Vec<Ended>,
    limits: Vec<Line>,
}

/// A limit.
#[derive(Debug, Serialize)]
struct Line {
    /// Its key in the config.
    limit: &'static str,
    max: u32,
}

/// `GET /v1/admin/connections`
pub(crate) async fn list(
    State(state): State<http::State>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let limit = state.limit(wanted.limit)?;
    let find = wanted.find.filter(|find| !find.is_empty());
    let fits = |one: &Present| find.as_ref().is_none_or(|find| has(one, find));
    let roster = state.door().roster();
    let limits = state.door().limits().table();
    Ok(exchange::to_json(&Answer {
        total: roster.len(),
        faces: roster.faces(),
        closed: roster.closed(),
        connections: roster.present(limit, fits),
        ended: roster.ended(),
        limits: limits
            .map(|(limit, max)| Line {
                limit: limit.as_str(),
                max,
            })
            .into(),
    }))
}

fn has(one: &Present, find: &str) -> bool {
    let standing = &one.standing;
    standing.connection.contains(find)
        || standing.path.contains(find)
        || one.face.contains(find)
        || standing
            .principal
            .as_ref()
            .is_some_and(|who| who.contains(find))
        || standing
            .address
            .is_some_and(|at| at.to_string().contains(find))
        || standing
            .topics
            .iter()
            .any(|topic| topic.as_str().contains(find))
}

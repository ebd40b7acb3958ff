//! Topics: the list, one topic's snapshot, its subscribers, its end.

mod live;

use std::io::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::auth::Action;
use crate::face::envelope::{self, Telling};
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;
use crate::face::http::extract::{Query, TopicPath};
use crate::face::http::negotiate::{self, Offer};
use crate::face::http::refusal::{Code, Refusal};
use crate::hub::{Glance, Hub, Present, Tally, TopicFilter, TopicLine};
use crate::topic::{Cursor, Event, Seq, Status, TopicName};

/// Which topics are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    kind: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of topics.
#[derive(Debug, Serialize)]
struct Page {
    topics: Vec<Line>,
    /// What to ask for `after` next, if more follows.
    next: Option<TopicName>,
}

/// A topic in a page.
#[derive(Debug, Serialize)]
struct Line {
    topic: TopicName,
    status: Status,
    cursor: Cursor,
    subscribers: usize,
    updated_at: String,
    /// How far it is, in percent, if an event has said so.
    progress: Option<f64>,
    /// How many questions are open.
    questions: usize,
}

/// What `Accept` may ask for.
#[derive(Debug, Clone, Copy)]
enum Form {
    Page,
    Live,
}

const OFFERS: [Offer<Form>; 2] = [
    Offer {
        form: Form::Page,
        types: &["application/json"],
    },
    Offer {
        form: Form::Live,
        types: &["text/event-stream"],
    },
];

/// `GET /v1/topics`
pub(crate) async fn list(
    State(state): State<http::State>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let form = negotiate::choose(&headers, &OFFERS).ok_or_else(|| {
        let detail = "accept `application/json` or `text/event-stream`";
        Refusal::new(Code::NotAcceptable, detail)
    })?;
    let limit = state.limit(wanted.limit)?;
    let kind = wanted.kind.as_deref().map(str::parse).transpose()?;
    let filter = TopicFilter {
        kind,
        prefix: wanted.prefix,
        after: wanted.after,
    };
    if matches!(form, Form::Live) {
        return live::open((state, caller), filter).await;
    }
    let shown = |topic: &TopicName, owner: Option<&str>| caller.may_read(topic, owner);
    let page = state.hub().topics(&filter, limit, shown).await?;
    let next = page
        .topics
        .last()
        .filter(|_| page.more)
        .map(|line| line.topic.clone());
    let glance = |line| Line::of(line, state.hub());
    let topics = page.topics.into_iter().map(glance).collect();
    Ok(exchange::to_json(&Page { topics, next }))
}

impl Line {
    fn of(line: TopicLine, hub: &Hub) -> Self {
        let known = hub.topic(&line.topic);
        let glance = known.map(|topic| topic.glance()).unwrap_or_default();
        let TopicLine {
            topic,
            cursor,
            status,
            subscribers,
            updated_at,
        } = line;
        Self {
            topic,
            status,
            cursor,
            subscribers,
            updated_at,
            progress: progress(&glance, status),
            questions: glance.questions,
        }
    }
}

/// How far a topic is, in percent.
fn progress(glance: &Glance, status: Status) -> Option<f64> {
    if status == Status::Completed {
        return Some(100.0);
    }
    let told = || glance.told.as_deref().and_then(told);
    let percent = glance.job.or_else(told)?;
    percent.is_finite().then(|| percent.clamp(0.0, 100.0))
}

fn told(event: &Event) -> Option<f64> {
    /// The fields of a payload that tell it.
    #[derive(Deserialize)]
    struct Told {
        progress: Option<f64>,
        percentage: Option<f64>,
    }
    let told: Told = serde_json::from_str(event.payload.json()?).ok()?;
    told.progress.or(told.percentage)
}

/// `GET /v1/topics/{topic}`
pub(crate) async fn snapshot(
    State(state): State<http::State>,
    TopicPath(name): TopicPath,
    caller: Caller,
) -> Result<Response, Refusal> {
    caller.must(Action::Read, &name, unknown).await?;
    let topic = state.topic(&name).await?;
    let snapshot = topic.snapshot();
    if snapshot.cursor.seq == Seq::ZERO {
        return Err(unknown(&name));
    }
    let mut body = Vec::with_capacity(1024);
    let (cursor, subscribers) = (&snapshot.cursor, state.hub().subscribers(&topic).await);
    let status = snapshot.status.as_str();
    write!(
        body,
        r#"{{"topic":"{name}","cursor":"{cursor}","status":"{status}","subscribers":{subscribers},"#
    )
    .expect("a Vec takes all");
    let lists = [
        ("state", &snapshot.states),
        ("facts", &snapshot.facts),
        ("clarifications", &snapshot.clarifications),
    ];
    for (member, events) in lists {
        write!(body, r#""{member}":"#).expect("a Vec takes all");
        envelope::list(&mut body, events.iter().map(AsRef::as_ref));
        body.push(b',');
    }
    body.extend_from_slice(br#""terminal":"#);
    match &snapshot.terminal {
        Some(event) => envelope::write(&mut body, event, Telling::Plain),
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
    Ok(exchange::json(body))
}

/// `DELETE /v1/topics/{topic}`
pub(crate) async fn delete(
    State(state): State<http::State>,
    TopicPath(name): TopicPath,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    caller.must(Action::Delete, &name, unknown).await?;
    if state.hub().delete(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name))
    }
}

/// Who subscribes to a topic, on all nodes.
#[derive(Debug, Serialize)]
struct Presence {
    topic: TopicName,
    cursor: Cursor,
    subscribers: Vec<Present>,
    /// What became of its events, also by those who watched it on this node.
    tally: Tally,
}

/// `GET /v1/topics/{topic}/subscribers`
pub(crate) async fn subscribers(
    State(state): State<http::State>,
    TopicPath(name): TopicPath,
    caller: Caller,
) -> Result<Response, Refusal> {
    caller.must(Action::Presence, &name, unknown).await?;
    let topic = state.topic(&name).await?;
    let (cursor, subscribers) = (topic.head(), state.hub().presence(&topic).await?);
    let mut tally = topic.departed();
    for subscriber in &subscribers {
        tally.add(subscriber.tally());
    }
    Ok(exchange::to_json(&Presence {
        topic: name,
        cursor,
        subscribers,
        tally,
    }))
}

/// The refusal for a topic that holds no event.
pub(crate) fn unknown(name: &TopicName) -> Refusal {
    Refusal::new(
        Code::TopicUnknown,
        format!("the topic `{name}` holds no event on this node"),
    )
}

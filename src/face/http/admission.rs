//! Who sent a request: known before any handler runs, so that a path cannot forget to ask.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::Method;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::auth::{Action, Principal, Role};
use crate::connection::{Admission, Attendance, ConnectionId, Door, Standing, Visitor, owner_of};
use crate::face::http;
use crate::face::http::nodes::STANDING;
use crate::face::http::refusal::{Code, Refusal};
use crate::limit::{Account, Limit, Places, Quota, Reached};
use crate::topic::{Draft, DraftError, TopicName};

/// Paths that tell nothing of topics and are asked by those who have no credential: probes, the
/// documents of the interface, the page.
const OPEN: [&str; 12] = [
    "/",
    "/healthz",
    "/readyz",
    "/health",
    "/version",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/favicon.ico",
    "/robots.txt",
    // Its clients show their token in their first message, and are closed without one.
    "/ws/connect",
    // Nodes prove that they are nodes.
    STANDING,
];

/// What the paths of open files begin with.
const OPEN_FILES: [&str; 2] = ["/assets/", "/docs/"];

/// What is only for those who run the gateway, not for its users.
const OPERATORS: &str = "/metrics";

/// What is only for administrators.
const ADMIN: [&str; 3] = ["/v1/admin/", "/v1/sockets", "/v1/emit"];

/// Who sent a request, and where they are.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    pub(crate) visitor: Visitor,
    door: Door,
}

/// The answer to somebody who is not let in.
pub(crate) fn refused(refusal: Refusal) -> Response {
    let is_unknown = refusal.code() == Code::Unauthorized;
    let mut response = refusal.into_response();
    if is_unknown {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

/// Who sent a request; nobody, if the path is open to all.
///
/// # Errors
/// When they may not.
pub(crate) async fn admit(
    state: &http::State,
    request: &mut Request,
) -> Result<Option<Caller>, Refusal> {
    let door = state.door();
    let visitor = door.visitor(request);
    if !door.admits_origin(request.headers(), &visitor) {
        let detail = "pages of this origin may not use the gateway (`face.http.cors_origins`)";
        return Err(Refusal::new(Code::OriginRefused, detail));
    }
    let path = request.uri().path();
    let is_open = OPEN.contains(&path) || OPEN_FILES.iter().any(|files| path.starts_with(files));
    let is_question = *request.method() == Method::OPTIONS;
    if is_open || is_question || (path == OPERATORS && visitor.is_local()) {
        return Ok(None);
    }
    let principal = door
        .admit(&visitor.credentials)
        .await
        .map_err(|refusal| Refusal::new(Code::Unauthorized, refusal.to_string()))?;
    let is_operator = principal.is_admin() || principal.role == Role::Producer;
    let is_for_admins = ADMIN.iter().any(|paths| path.starts_with(paths));
    let is_forbidden =
        (path == OPERATORS && !is_operator) || (is_for_admins && !principal.is_admin());
    if is_forbidden {
        let detail = format!("`{path}` is not for the role `{}`", principal.role.as_str());
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    Ok(Some(Caller {
        principal,
        visitor,
        door: door.clone(),
    }))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // A path that nobody was asked for: it is refused, rather than left open.
        let missing = || Refusal::new(Code::Internal, "nobody asked who sent the request");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

impl Caller {
    /// Whether the caller may do something to a topic.
    ///
    /// # Errors
    /// When the store that knows whose the topic is is away.
    pub(crate) async fn may(&self, action: Action, topic: &TopicName) -> Result<bool, Refusal> {
        Ok(self.door.may(&self.principal, action, topic).await?)
    }

    /// Refuses as if the topic did not exist, unless the caller may.
    ///
    /// # Errors
    /// `refusal`, when it may not.
    pub(crate) async fn must(
        &self,
        action: Action,
        topic: &TopicName,
        refusal: impl FnOnce(&TopicName) -> Refusal,
    ) -> Result<(), Refusal> {
        if self.may(action, topic).await? {
            Ok(())
        } else {
            Err(refusal(topic))
        }
    }

    /// Refuses unless the caller may publish to a topic.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) async fn must_publish(&self, topic: &TopicName) -> Result<(), Refusal> {
        let forbidden = |topic: &TopicName| {
            let detail = format!("you may not publish to `{topic}`");
            Refusal::new(Code::Forbidden, detail)
        };
        self.must(Action::Publish, topic, forbidden).await
    }

    /// The draft with the owner that its topic is to have.
    ///
    /// # Errors
    /// When the owner that was said is none.
    pub(crate) fn own(&self, draft: Draft, said: Option<&str>) -> Result<Draft, Refusal> {
        let signed: Result<Draft, DraftError> = draft.with_owner(owner_of(&self.principal, said));
        Ok(signed?)
    }

    /// Whether the caller may see a topic in a list.
    pub(crate) fn may_read(&self, topic: &TopicName, owner: Option<&str>) -> bool {
        let about = (topic, owner);
        self.door.may_do(&self.principal, Action::Read, about)
    }

    /// The caller for as long as a stream of it is open.
    pub(crate) fn attend(&self) -> Arc<Admission> {
        Arc::new(Admission::new(
            self.door.clone(),
            Arc::clone(&self.principal),
        ))
    }

    /// Enters a stream of the caller into the roster, under the id that presence shows.
    pub(crate) fn enter_as(
        &self,
        connection: String,
        (transport, path): (&'static str, String),
    ) -> Attendance {
        let standing = Standing {
            connection,
            transport,
            principal: self.name(),
            address: Some(self.visitor.address),
            path,
            topics: Vec::new(),
            subscriptions: None,
            lag: None,
        };
        self.door.roster().enter(transport, Arc::new(standing))
    }

    /// The same, under an id of its own.
    pub(crate) fn enter(&self, transport: &'static str, path: String) -> Attendance {
        self.enter_as(ConnectionId::new().to_string(), (transport, path))
    }

    /// The places of a connection that stays.
    ///
    /// # Errors
    /// When the caller or its address holds as many as it may.
    pub(crate) async fn take_places(&self) -> Result<Places, Refusal> {
        let (address, user) = (Some(self.visitor.address), self.name());
        Ok(self.door.connect(address, user.as_deref()).await?)
    }

    /// The name of the caller, if it has one.
    pub(crate) fn name(&self) -> Option<String> {
        self.principal.name()
    }

    /// Counts events that the caller publishes. Nothing is counted of this machine where nobody
    /// has to show who they are.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn count_events(&self, events: usize) -> Result<Option<Quota>, Refusal> {
        let account = match self.name() {
            Some(name) => Account::Principal(name.into()),
            None if self.visitor.is_local() => return Ok(None),
            None => Account::Address(self.visitor.address),
        };
        Ok(Some(self.door.limits().publish(&account, events)?))
    }
}

/// The headers that tell what may still be published at once (draft of the IETF group httpapi).
pub(crate) fn rate_headers(quota: Option<Quota>) -> HeaderMap {
    quota.map_or_else(HeaderMap::new, |quota| {
        rate(
            (quota.max, quota.window_seconds),
            quota.left,
            quota.window_seconds,
        )
    })
}

/// The same when nothing is left of it.
pub(crate) fn reached_headers(reached: &Reached) -> HeaderMap {
    match reached.limit {
        Limit::Events => rate((reached.max, 1), 0, reached.retry_after_seconds()),
        _ => HeaderMap::new(),
    }
}

fn rate((max, window): (u32, u32), left: u32, reset: u32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, text) in [
        (
            "ratelimit-policy",
            format!(r#""events";q={max};w={window}"#),
        ),
        ("ratelimit", format!(r#""events";r={left};t={reset}"#)),
    ] {
        let value = HeaderValue::try_from(text).expect("numbers are a header value");
        headers.insert(HeaderName::from_static(name), value);
    }
    headers
}

//! Entering a namespace: who comes in, and how their token ends or is renewed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use crate::auth::{Credentials, Refusal};
use crate::connection::{Admission, CloseReason, Notice, RefreshError};
use crate::face::socketio::link::Link;
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::requests::Desk;
use crate::face::socketio::subscribing;
use crate::limit::{Account, Places, Reached};
use crate::topic::iso8601;

/// How long a client that was put out may take to leave by itself.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// Somebody who is let into a namespace.
pub(crate) struct Entered {
    pub(crate) admission: Arc<Admission>,
    /// Held for as long as the socket is connected.
    pub(crate) places: Arc<Places>,
}

/// Why somebody is not let in; what a client is told as `connect_error`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// The engine lost the link of its session; it cannot happen to one that came by the shim.
    #[error("the session is not known")]
    NoLink,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Limit(#[from] Reached),
    /// In the words that the admin UI knows.
    #[error("invalid credentials")]
    Credentials,
    #[error(
        "there are {0} admin UIs connected, as many as `face.socketio.admin_ui.connections_max` allows"
    )]
    Onlookers(usize),
    /// The namespace is not for everybody.
    #[error("`{0}` is for producers: the credential has nothing that it may publish to")]
    NoProducer(&'static str),
}

/// Lets a client in, by what its CONNECT says, else by what its first request showed.
///
/// # Errors
/// [`Denied`].
pub(crate) async fn enter(
    link: &Link,
    auth: Option<&rmpv::Value>,
    desk: &Desk,
) -> Result<Entered, Denied> {
    let said = token(auth).map(Credentials::of_token);
    let ticket = link.ticket.as_deref();
    let admission = if desk.door.auth().needs_credential() {
        let nothing = Credentials::default();
        let shown = ticket.map_or(&nothing, |ticket| ticket.credentials());
        let principal = desk.door.admit(said.as_ref().unwrap_or(shown)).await?;
        Arc::new(Admission::new(desk.door.clone(), principal))
    } else {
        Arc::clone(&desk.anyone)
    };
    let name = admission.principal().name();
    let places = desk.door.connect(None, name.as_deref()).await?;
    if let Some(ticket) = ticket {
        ticket.finish();
    }
    Ok(Entered {
        admission,
        places: Arc::new(places),
    })
}

/// The field `token` of a CONNECT's `auth`, whatever stands in the others.
fn token(auth: Option<&rmpv::Value>) -> Option<&str> {
    let fields = auth?.as_map()?;
    let found = fields.iter().find(|(key, _)| key.as_str() == Some("token"));
    found.and_then(|(_, value)| value.as_str())
}

/// Whose account the messages of a client go to.
pub(crate) fn account(link: &Link, admission: &Admission) -> Account {
    match admission.principal().name() {
        Some(name) => Account::Principal(name.into()),
        None => Account::Connection(link.lock().id.as_str().into()),
    }
}

/// An admission that is to be watched over once its client is connected.
#[derive(Clone)]
struct Watched {
    admission: Arc<Admission>,
    /// Cancelled when the client has left.
    left: CancellationToken,
}

/// Sees to it that [`watch`] watches over the admission of a socket. Nobody may hold a socket whose
/// CONNECT is not answered: if its client goes before that, nothing but its end as a value tells.
pub(crate) fn watch_later(socket: &SocketRef, admission: &Arc<Admission>, left: CancellationToken) {
    if admission.can_end() {
        let admission = Arc::clone(admission);
        socket.extensions.insert(Watched { admission, left });
    }
}

/// Watches over the admission of a connected socket until it has left: its client is told that it
/// ends, and put out when it has ended.
pub(crate) fn watch(socket: &SocketRef, desk: &Desk) {
    let (Some(watched), Ok(link)) = (socket.extensions.get(), link_of(socket)) else {
        return;
    };
    let Watched { admission, left } = watched;
    let (socket, link) = (socket.clone(), Arc::downgrade(&link));
    let drain = desk.drain.clone();
    desk.drain.spawn(async move {
        loop {
            let notice = tokio::select! {
                notice = admission.next() => notice,
                () = left.cancelled() => return,
                // The engine, when it ends, drops its sockets and tells nobody.
                () = drain.doors_closed() => return,
            };
            let Some(link) = link.upgrade() else { return };
            match notice {
                Notice::Expiring(at) => tell_expiring(&socket, at),
                Notice::Lost => subscribing::drop_lost(&link, &socket, &admission).await,
                Notice::Ended(reason) => {
                    put_out(socket, link, reason).await;
                    return;
                }
            }
        }
    });
}

fn tell_expiring(socket: &SocketRef, at: i64) {
    let data = json!({ "expiresAt": iso8601(at.saturating_mul(1000)) });
    // A client that lets its queue fill up is not told, and put out at the end.
    let _ = socket.emit("auth:expiring", &data);
}

/// Puts a client out: with the reason, with Socket.IO's own farewell, and if need be by its socket.
async fn put_out(socket: SocketRef, link: Arc<Link>, reason: CloseReason) {
    let problem = Problem::new(reason.as_str(), told(reason).to_owned());
    if socket.ns() == "/" {
        link.answer(messages::error(&Value::Null, &problem, link.dialect));
    } else {
        let _ = socket.emit("error", &json!(problem));
    }
    link.lock().close_reason.get_or_insert(reason);
    let _ = socket.disconnect();
    // What was said is still on its way through the engine.
    let link = Arc::downgrade(&link);
    tokio::time::sleep(LEAVE_MAX).await;
    if let Some(link) = link.upgrade() {
        link.close(reason);
    }
}

const fn told(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Revoked => "the credential was revoked",
        _ => "the token has expired: connect with a new one",
    }
}

/// `auth:refresh`: takes a new token in place of the one before. Returns the acknowledgement.
pub(crate) async fn refresh(
    link: &Arc<Link>,
    (socket, admission): (&SocketRef, &Admission),
    data: Option<Value>,
) -> Value {
    let token = match &data {
        Some(Value::String(token)) => Some(token.as_str()),
        Some(Value::Object(fields)) => fields.get("token").and_then(Value::as_str),
        _ => None,
    };
    let Some(token) = token else {
        let why = "give the new token as a string or as {token}".to_owned();
        return json!(Problem::new("invalid_refresh", why));
    };
    match admission.refresh(token).await {
        Ok(principal) => {
            subscribing::drop_lost(link, socket, admission).await;
            let expires_at = principal
                .expires_at
                .map(|at| iso8601(at.saturating_mul(1000)));
            json!({ "ok": true, "expiresAt": expires_at })
        }
        Err(error) => json!(Problem::new(code(&error), error.to_string())),
    }
}

const fn code(error: &RefreshError) -> &'static str {
    match error {
        RefreshError::Refused(_) => "auth_refused",
        RefreshError::SomebodyElse => "auth_somebody_else",
    }
}

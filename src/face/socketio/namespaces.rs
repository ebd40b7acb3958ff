//! The namespaces: who listens before a client hears that it is connected.

use std::future::ready;
use std::sync::{Arc, Mutex};

use socketioxide::extract::{Event, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection::{Admission, Attendance, CloseReason, ConnectionId, Metrics};
use crate::face::socketio::admin::{ADMIN, Admin};
use crate::face::socketio::argument;
use crate::face::socketio::commanding;
use crate::face::socketio::entering::{self, Denied, Entered};
use crate::face::socketio::link::{Direct, Link, Parting, WeakLink};
use crate::face::socketio::messages;
use crate::face::socketio::operations;
use crate::face::socketio::pacing::Reply;
use crate::face::socketio::recovery::Claim;
use crate::face::socketio::requests::{Desk, Request, What};
use crate::face::socketio::standing::Client;
use crate::face::socketio::subscribing::{self, Joining};
use crate::limit::Places;

/// The namespace of producers.
const PRODUCERS: &str = "/producers";

/// The name of this face in metrics.
const FACE: &str = "socketio";

/// Opens `/` and `/producers`.
pub(crate) fn open(io: &socketioxide::SocketIo, desk: &Desk, metrics: &Metrics) {
    let (main_desk, main_metrics) = (desk.clone(), metrics.clone());
    let join = move |socket: SocketRef, TryData(auth): TryData<rmpv::Value>| {
        let (desk, metrics) = (main_desk.clone(), main_metrics.clone());
        async move { join_main(&socket, auth.ok(), &desk, &metrics).await }
    };
    let main_desk = desk.clone();
    let begin = move |socket: SocketRef| {
        entering::watch(&socket, &main_desk);
        ready(())
    };
    io.ns("/", begin.with(join));

    let producers_desk = desk.clone();
    let join = move |socket: SocketRef, TryData(auth): TryData<rmpv::Value>| {
        let desk = producers_desk.clone();
        async move { join_producers(&socket, auth.ok(), &desk).await }
    };
    let producers_desk = desk.clone();
    let begin = move |socket: SocketRef| {
        entering::watch(&socket, &producers_desk);
        ready(())
    };
    io.ns(PRODUCERS, begin.with(join));
}

/// Opens `/admin`.
pub(crate) fn open_admin(io: &socketioxide::SocketIo, admin: &Admin) {
    let (entry, begun) = (admin.clone(), admin.clone());
    let enter = move |socket: SocketRef, TryData(auth): TryData<rmpv::Value>| {
        let admin = entry.clone();
        async move { admin.enter(&socket, auth.ok()).await }
    };
    let begin = move |socket: SocketRef| {
        begun.begin(&socket);
        ready(())
    };
    io.ns(ADMIN, begin.with(enter));
}

pub(crate) fn link_of(socket: &SocketRef) -> Result<Arc<Link>, Denied> {
    socket
        .req_parts()
        .extensions
        .get::<Arc<Link>>()
        .cloned()
        .ok_or(Denied::NoLink)
}

async fn join_main(
    socket: &SocketRef,
    auth: Option<rmpv::Value>,
    desk: &Desk,
    metrics: &Metrics,
) -> Result<(), Denied> {
    let link = link_of(socket)?;
    // The handshake may still be on its way out: then this is where its id is first seen.
    link.learn_sid(socket.id.as_str());
    let Entered { admission, places } = entering::enter(&link, auth.as_ref(), desk).await?;
    let claim = Claim::read(auth.as_ref());
    let takes_offsets = desk.recovery.is_for(&link, &claim);
    let recovered = if takes_offsets {
        desk.recovery.recover(&claim, &admission).await
    } else {
        None
    };
    // From here on nothing is waited for: the connection has all of it, or none.
    let generation = link.join();
    link.lock().admission = Some(Arc::clone(&admission));
    let resumed = recovered.and_then(|regained| {
        let joining = subscribing::rejoin(&link, desk, regained.kept, generation)?;
        drop(regained.prepared);
        Some((regained.session, joining))
    });
    let (session, joining) = match resumed {
        Some((session, joining)) => (Some(session), joining),
        None if takes_offsets => (
            Some(
                desk.recovery
                    .begin(link.lock().id.clone(), admission.principal().name()),
            ),
            Vec::new(),
        ),
        None => (None, Vec::new()),
    };
    if let Some(session) = session {
        let resumable = desk.recovery.adopt(session, &link, generation);
        link.carry(resumable);
    }
    let id = link.lock().id.clone();
    listen(socket, (desk, &admission), |name| match name {
        "subscribe" => What::Subscribe,
        "unsubscribe" => What::Unsubscribe,
        "auth:refresh" => What::Refresh,
        other => What::Unknown(other.to_owned()),
    });
    // Others may mean it by its id.
    socket.join(operations::own_room(id.as_str()));
    metrics.opened(FACE);
    let client = Client::new(Arc::downgrade(&link), desk.hub.clone());
    let attendance = desk.door.roster().enter(FACE, Arc::new(client));
    tracing::debug!(connection = %id, "connected");
    let gone = CancellationToken::new();
    entering::watch_later(socket, &admission, gone.clone());
    let presence = Presence {
        link: Arc::downgrade(&link),
        generation,
        id,
        metrics: metrics.clone(),
        attendance,
        held: Mutex::new(Some((gone.drop_guard(), places))),
    };
    presence.follow(socket);
    {
        let mut state = link.lock();
        let connected = messages::connected(&state.id, link.dialect);
        state.direct.push_back(Direct::Frames(connected));
    }
    resume(&link, socket, joining);
    if let Some(admin) = link.sessions.admin() {
        admin.connected(socket);
    }
    Ok(())
}

/// Lets the subscriptions of a recovered session go on.
fn resume(link: &Arc<Link>, socket: &SocketRef, joining: Vec<Joining>) {
    for joining in joining {
        socket.join(joining.subscription.topic().to_string());
        // It fails only if the connection has gone meanwhile.
        let _ = link.admit(joining);
    }
    link.deliver(&mut link.lock());
}

/// A connection that is counted, from its CONNECT to its end.
///
/// The engine does not call the disconnect handler of a client that goes before its CONNECT is
/// answered; it drops the socket, and this with it.
struct Presence {
    link: WeakLink,
    generation: u64,
    id: ConnectionId,
    metrics: Metrics,
    attendance: Attendance,
    /// What the client holds until it is gone: the watch over its credential, and its places.
    held: Mutex<Option<(DropGuard, Arc<Places>)>>,
}

impl Presence {
    /// Ends with the socket.
    fn follow(self, socket: &SocketRef) {
        let presence = Arc::new(self);
        socket.on_disconnect(move |reason: DisconnectReason| {
            presence.end(reason);
            ready(())
        });
    }

    /// The client is gone. Counts it once.
    fn end(&self, reason: DisconnectReason) {
        let held = self.held.lock().expect("nobody panics with it").take();
        if held.is_none() {
            return;
        }
        let link = self.link.upgrade();
        let said = link.as_ref().and_then(|link| link.lock().close_reason);
        let closed = said.unwrap_or_else(|| match link {
            Some(_) => close_reason(reason),
            None => CloseReason::Client,
        });
        // The roster looks at what it watches before it is taken away.
        self.attendance.end(closed);
        if let Some(link) = link {
            if let Some(admin) = link.sessions.admin() {
                let id = link.public_id(&link.lock());
                admin.disconnected("/", id.as_str(), told_as(reason));
            }
            link.leave(self.generation, parting(reason));
        }
        let reason = closed;
        let reason_text = reason.as_str();
        tracing::debug!(connection = %self.id, close_reason = reason_text, "disconnected");
        self.metrics.closed(FACE, reason);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.end(DisconnectReason::TransportClose);
    }
}

/// Whether a client that left so may come back to its session.
const fn parting(reason: DisconnectReason) -> Parting {
    match reason {
        DisconnectReason::ClientNSDisconnect | DisconnectReason::ServerNSDisconnect => {
            Parting::ForGood
        }
        DisconnectReason::TransportClose
        | DisconnectReason::TransportError
        | DisconnectReason::MultipleHttpPollingError
        | DisconnectReason::PacketParsingError
        | DisconnectReason::HeartbeatTimeout
        | DisconnectReason::ClosingServer => Parting::Broken,
    }
}

async fn join_producers(
    socket: &SocketRef,
    auth: Option<rmpv::Value>,
    desk: &Desk,
) -> Result<(), Denied> {
    let link = link_of(socket)?;
    let Entered { admission, places } = entering::enter(&link, auth.as_ref(), desk).await?;
    if !admission.principal().may_produce() {
        return Err(Denied::NoProducer(PRODUCERS));
    }
    let left = CancellationToken::new();
    let asked = left.clone();
    listen(socket, (desk, &admission), move |name| match name {
        "auth:refresh" => What::Refresh,
        "publish" => What::Publish,
        "ask" => What::Ask(asked.clone()),
        "await_cancel" => What::AwaitCancel(asked.clone()),
        other => {
            commanding::deed(other).map_or_else(|| What::Unknown(other.to_owned()), What::Command)
        }
    });
    entering::watch_later(socket, &admission, left.clone());
    socket.on_disconnect(move || {
        left.cancel();
        drop(places);
        ready(())
    });
    Ok(())
}

/// Puts every event of a socket into its link's queue. The closure runs where the engine reads the
/// packet, so the order is the client's; what it returns is ready at once.
fn listen(
    socket: &SocketRef,
    (desk, admission): (&Desk, &Arc<Admission>),
    what: impl Fn(&str) -> What + Clone + Send + Sync + 'static,
) {
    let (desk, admission) = (desk.clone(), Arc::clone(admission));
    socket.on_fallback(
        move |socket: SocketRef,
              Event(name): Event,
              TryData(data): TryData<rmpv::Value>,
              ack: Reply| {
            if let Ok(link) = link_of(&socket) {
                let data = data.ok().and_then(argument::read);
                if let Some(admin) = link.sessions.admin() {
                    admin.received(socket.ns(), &link, (&name, data.as_ref()));
                }
                link.request(
                    Request {
                        what: what(&name),
                        data,
                        ack,
                        socket,
                        admission: Arc::clone(&admission),
                    },
                    &desk,
                );
            }
            ready(())
        },
    );
}

/// The reason in the words of Socket.IO.
const fn told_as(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "transport close",
        DisconnectReason::TransportError | DisconnectReason::MultipleHttpPollingError => {
            "transport error"
        }
        DisconnectReason::PacketParsingError => "parse error",
        DisconnectReason::HeartbeatTimeout => "ping timeout",
        DisconnectReason::ClientNSDisconnect => "client namespace disconnect",
        DisconnectReason::ServerNSDisconnect => "server namespace disconnect",
        DisconnectReason::ClosingServer => "server shutting down",
    }
}

const fn close_reason(reason: DisconnectReason) -> CloseReason {
    match reason {
        DisconnectReason::TransportClose
        | DisconnectReason::TransportError
        | DisconnectReason::ClientNSDisconnect => CloseReason::Client,
        DisconnectReason::MultipleHttpPollingError | DisconnectReason::PacketParsingError => {
            CloseReason::Protocol
        }
        DisconnectReason::HeartbeatTimeout => CloseReason::Heartbeat,
        DisconnectReason::ClosingServer | DisconnectReason::ServerNSDisconnect => {
            CloseReason::Drain
        }
    }
}

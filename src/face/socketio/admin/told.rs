//! How a socket looks to onlookers.

use serde_json::{Map, Value, json};
use socketioxide::extract::SocketRef;
use socketioxide::operators::BroadcastOperators;

use crate::face::socketio::admin::ADMIN;
use crate::face::socketio::namespaces::link_of;
use crate::face::socketio::operations;
use crate::face::socketio::sockets::Sockets;
use crate::topic::iso8601;

/// Most sockets that are listed.
const SOCKETS_MAX: usize = 10_000;

/// All sockets of this node.
pub(super) fn all(sockets: &Sockets) -> Vec<Value> {
    let namespaces = ["/", "/producers", ADMIN];
    let namespaces = namespaces
        .into_iter()
        .flat_map(|path| sockets.namespaces(path));
    let sockets = namespaces.flat_map(BroadcastOperators::sockets);
    sockets
        .take(SOCKETS_MAX)
        .filter_map(|socket| self::socket(&socket))
        .collect()
}

/// One socket; nothing if it is gone.
pub(super) fn socket(socket: &SocketRef) -> Option<Value> {
    let link = link_of(socket).ok()?;
    let namespace = socket.ns();
    let (public, transport, principal) = {
        let state = link.lock();
        let admission = state.admission.as_ref();
        let principal = admission.and_then(|admission| admission.principal().name());
        (
            link.public_id(&state).to_string(),
            state.exit.as_str(),
            principal,
        )
    };
    let mut data = Map::new();
    if let Some(principal) = principal {
        data.insert("principal".to_owned(), json!(principal));
    }
    let age_ms = i64::try_from(link.born.elapsed().as_millis()).unwrap_or(0);
    let issued = jiff::Timestamp::now().as_millisecond() - age_ms;
    let address = link
        .ticket
        .as_ref()
        .map(|ticket| ticket.address().to_string());
    let client: String = public.chars().take(12).collect();
    let rooms = socket.rooms();
    let rooms = rooms.iter().filter_map(|room| operations::said_room(room));
    let rooms: Vec<&str> = std::iter::once(&*public).chain(rooms).collect();
    Some(json!({
        // The engine's own id would be worth something to others.
        "id": public,
        "clientId": client,
        "transport": transport,
        "nsp": namespace,
        "data": data,
        "handshake": {
            "address": address,
            "headers": {},
            "query": {},
            "issued": issued,
            "secure": false,
            "time": iso8601(issued),
            "url": socket.req_parts().uri.path(),
            "xdomain": false,
        },
        "rooms": rooms,
    }))
}

//! How a client of this face stands, for the roster.

use crate::connection::{Attendee, Standing};
use crate::face::socketio::encode::Dialect;
use crate::face::socketio::link::{Exit, Link, WeakLink};
use crate::face::socketio::{MSGPACK_PATH, PATH};
use crate::hub::Hub;

/// Most topics that are named.
const TOPICS_MAX: usize = 16;

/// A client of the main namespace.
pub(crate) struct Client {
    link: WeakLink,
    hub: Hub,
}

impl Client {
    pub(crate) const fn new(link: WeakLink, hub: Hub) -> Self {
        Self { link, hub }
    }
}

impl Attendee for Client {
    fn describe(&self) -> Option<Standing> {
        let link = self.link.upgrade()?;
        let state = link.lock();
        let subscriptions = state.subscriptions.clone();
        let admission = state.admission.clone();
        let standing = Standing {
            connection: link.public_id(&state).to_string(),
            transport: transport(&link, &state.exit),
            principal: None,
            address: link.ticket.as_ref().map(|ticket| ticket.address()),
            path: match link.dialect {
                Dialect::Msgpack => MSGPACK_PATH,
                Dialect::Text | Dialect::TextEio3 => PATH,
            }
            .to_owned(),
            topics: Vec::new(),
            subscriptions: Some(subscriptions.len()),
            lag: None,
        };
        drop(state);
        let lags = subscriptions.iter().filter_map(|subscription| {
            let (read, _) = subscription.progress()?;
            let head = self.hub.topic(subscription.topic())?.head();
            Some(head.seq.0.saturating_sub(read.0))
        });
        let named = subscriptions.iter().take(TOPICS_MAX);
        Some(Standing {
            principal: admission.and_then(|admission| admission.principal().name()),
            lag: lags.max(),
            topics: named.map(|one| one.topic().clone()).collect(),
            ..standing
        })
    }
}

/// The transport, also of a connection that has ended.
fn transport(link: &Link, exit: &Exit) -> &'static str {
    match exit {
        Exit::Polling | Exit::WebSocket(_) => exit.as_str(),
        Exit::Closed if link.is_websocket_born => "websocket",
        Exit::Closed => "polling",
    }
}

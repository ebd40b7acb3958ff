//! Outages: who is connected here is told when this node has been without its store for a while, and
//! when it is back. They stay connected, and miss nothing; but what they see may be old meanwhile.

use std::time::Duration;

use rmpv::Value;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::face::socketio::SocketIo;
use crate::hub::Hub;
use crate::producer::bridges::{Action, Aim, Arguments};
use crate::store::Condition;
use crate::topic::iso8601;

/// How often the store is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Tells the Socket.IO clients of this node, until the drain.
pub(super) fn tell(socketio: &SocketIo, hub: &Hub, drain: &Drain) {
    if !hub.store().is_shared() {
        return;
    }
    let (socketio, hub, until) = (socketio.clone(), hub.clone(), drain.clone());
    drain.spawn(async move {
        let patience = hub.store().outage_told_after();
        let (mut seen, mut is_told) = (Instant::now(), false);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = until.begun() => return,
            }
            let is_away = matches!(hub.store().condition(), Condition::Away(_));
            if !is_away {
                seen = Instant::now();
            }
            if is_away && !is_told && seen.elapsed() >= patience {
                is_told = true;
                socketio.sockets().act(news("store_away")).await;
            } else if !is_away && is_told {
                is_told = false;
                socketio.sockets().act(news("store_back")).await;
            }
        }
    });
}

/// `store_away {timestamp}` or `store_back {timestamp}`, to everybody.
fn news(event: &str) -> Action {
    let now = iso8601(jiff::Timestamp::now().as_millisecond());
    let payload = Value::Map(vec![("timestamp".into(), now.into())]);
    Action::Emit {
        event: event.to_owned(),
        arguments: Arguments(vec![payload]),
        aim: Aim::default(),
    }
}

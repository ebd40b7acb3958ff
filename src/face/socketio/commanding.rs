//! Operations on the sockets of all nodes, from `/producers`: for administrators.

use serde_json::{Value, json};

use crate::connection::Admission;
use crate::face::socketio::messages::Problem;
use crate::face::socketio::requests::Desk;
use crate::face::socketio::sockets::{Deed, Wish};

/// What an event of a producer asks to be done to sockets.
pub(crate) fn deed(name: &str) -> Option<Deed> {
    Some(match name {
        "sockets:fetch" => Deed::Fetch,
        "sockets:join" => Deed::Join,
        "sockets:leave" => Deed::Leave,
        "sockets:disconnect" => Deed::Disconnect,
        "sockets:emit" => Deed::Emit,
        _ => return None,
    })
}

/// Has it done. Returns what all nodes did, or the problem.
pub(crate) async fn command(
    desk: &Desk,
    admission: &Admission,
    deed: Deed,
    data: Option<Value>,
) -> Value {
    if !admission.principal().is_admin() {
        let why = "sockets are for administrators: the credential is not of one".to_owned();
        return json!(Problem::new("forbidden", why));
    }
    let read = serde_json::from_value::<Wish>(data.unwrap_or_else(|| json!({})));
    let operation = read
        .map_err(|error| error.to_string())
        .and_then(|wish| desk.sockets.operation(deed, wish));
    let operation = match operation {
        Ok(operation) => operation,
        Err(why) => return json!(Problem::new("invalid_request", why)),
    };
    json!(desk.sockets.everywhere(&operation).await)
}

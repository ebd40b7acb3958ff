//! What onlookers may do to the sockets of all nodes.

use serde_json::{Value, json};

use crate::face::socketio::admin::{Admin, Config, Mode};
use crate::face::socketio::messages::Problem;
use crate::face::socketio::sockets::{Deed, Wish};

/// The namespace in which something may be done.
const MAIN: &str = "/";

/// What the UI is told that it may do.
pub(super) fn features(config: &Config) -> Vec<&'static str> {
    let mut features = Vec::new();
    if !config.readonly {
        features.extend([
            "EMIT",
            "JOIN",
            "LEAVE",
            "DISCONNECT",
            "MJOIN",
            "MLEAVE",
            "MDISCONNECT",
        ]);
    }
    features.push("AGGREGATED_EVENTS");
    if config.mode == Mode::Development {
        features.push("ALL_EVENTS");
    }
    features
}

impl Admin {
    /// Does what an onlooker asks for, and returns what it is acknowledged with.
    pub(super) async fn fulfil(&self, name: &str, arguments: Vec<Value>) -> Value {
        if self.0.config.readonly {
            let why = "this admin UI may only look (`face.socketio.admin_ui.readonly`)".to_owned();
            return json!(Problem::new("forbidden", why));
        }
        let invalid = |why: String| json!(Problem::new("invalid_request", why));
        let mut arguments = arguments.into_iter();
        if arguments.next().as_ref().and_then(Value::as_str) != Some(MAIN) {
            return invalid("only sockets of the namespace `/` can be moved from here".to_owned());
        }
        let Some((deed, wish)) = wish(name, &arguments.collect::<Vec<_>>()) else {
            let why = "ask for `join`, `leave`, `_disconnect` or `emit` with a namespace";
            return invalid(why.to_owned());
        };
        match self.0.sockets.operation(deed, wish) {
            Ok(operation) => {
                let done = self.0.sockets.everywhere(&operation).await;
                json!({ "ok": true, "sockets": done.count, "unanswered": done.unanswered })
            }
            Err(why) => invalid(why),
        }
    }
}

/// What an event of the UI means; its arguments are those behind the namespace. A filter is a room
/// or the id of a socket; none means all sockets.
fn wish(name: &str, arguments: &[Value]) -> Option<(Deed, Wish)> {
    let text = |at: usize| arguments.get(at).and_then(Value::as_str).map(str::to_owned);
    let within = |at: usize| text(at).map(|room| vec![room]);
    let room = || text(0).map(|room| vec![room]);
    Some(match name {
        "join" | "leave" => {
            let deed = if name == "join" {
                Deed::Join
            } else {
                Deed::Leave
            };
            let wish = Wish {
                within: within(1),
                rooms: room()?,
                ..Wish::default()
            };
            (deed, wish)
        }
        "_disconnect" => {
            let wish = Wish {
                within: within(1),
                ..Wish::default()
            };
            (Deed::Disconnect, wish)
        }
        "emit" => {
            let wish = Wish {
                within: within(0),
                event: Some(text(1)?),
                args: arguments[2..].to_vec(),
                ..Wish::default()
            };
            (Deed::Emit, wish)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str, arguments: &Value) -> Option<Value> {
        let (deed, wish) = wish(name, arguments.as_array().unwrap())?;
        Some(json!([deed, wish]))
    }

    #[test]
    fn what_the_ui_sends_is_an_operation_on_sockets() {
        let wish = |more: Value| {
            let mut wish = json!({"except": [], "rooms": [], "args": []});
            wish.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            wish
        };
        assert_eq!(
            meant("join", &json!(["crowd", "an id"])),
            Some(json!([
                "join",
                wish(json!({"in": ["an id"], "rooms": ["crowd"]}))
            ]))
        );
        assert_eq!(
            meant("leave", &json!(["crowd", null])),
            Some(json!(["leave", wish(json!({"rooms": ["crowd"]}))]))
        );
        assert_eq!(
            meant("_disconnect", &json!([false, "an id"])),
            Some(json!(["disconnect", wish(json!({"in": ["an id"]}))]))
        );
        assert_eq!(
            meant("emit", &json!([null, "greeting", 1, {"a": 2}])),
            Some(json!([
                "emit",
                wish(json!({"event": "greeting", "args": [1, {"a": 2}]}))
            ]))
        );
        for (name, arguments) in [
            ("join", json!([])),
            ("emit", json!(["room"])),
            ("other", json!([])),
        ] {
            assert_eq!(meant(name, &arguments), None, "{name}");
        }
    }
}

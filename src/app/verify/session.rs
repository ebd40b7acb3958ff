//! Socket.IO as a stock client of version 4.6 or later keeps it across connections.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// What a stock client remembers.
#[derive(Debug, Default)]
pub(super) struct Session {
    pid: Option<String>,
    offset: Option<String>,
}

/// What a packet tells the application.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// `connect`; and `socket.recovered`.
    Joined { is_recovered: bool },
    /// `connect_error` or `disconnect`.
    Refused,
    /// An event.
    Event { name: &'a str, data: &'a RawValue },
    /// Nothing.
    Nothing,
}

#[derive(Deserialize)]
struct Connected {
    #[serde(default)]
    pid: Option<String>,
}

impl Session {
    /// The packet that joins the main namespace.
    pub(super) fn hello(&self) -> String {
        match (&self.pid, &self.offset) {
            (None, _) => "40".to_owned(),
            (Some(pid), None) => format!("40{}", json!({"pid": pid})),
            (Some(pid), Some(offset)) => format!("40{}", json!({"pid": pid, "offset": offset})),
        }
    }

    /// Takes a packet.
    pub(super) fn take<'a>(&mut self, packet: &'a str) -> Told<'a> {
        if let Some(arguments) = packet.strip_prefix("42") {
            return self.event(arguments).unwrap_or(Told::Nothing);
        }
        if let Some(data) = packet.strip_prefix("40") {
            let pid = serde_json::from_str::<Connected>(data)
                .ok()
                .and_then(|c| c.pid);
            let is_recovered = pid.is_some() && pid == self.pid;
            self.pid = pid;
            return Told::Joined { is_recovered };
        }
        match packet.get(..2) {
            Some("44" | "41") => Told::Refused,
            _ => Told::Nothing,
        }
    }

    fn event<'a>(&mut self, arguments: &'a str) -> Option<Told<'a>> {
        let arguments: Vec<&RawValue> = serde_json::from_str(arguments).ok()?;
        let name = serde_json::from_str(arguments.first()?.get()).ok()?;
        let last = arguments.last()?.get();
        if self.pid.is_some() && arguments.len() > 1 && last.starts_with('"') {
            self.offset = serde_json::from_str(last).ok();
        }
        let data = *arguments.get(1)?;
        Some(Told::Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_recovered(session: &mut Session, packet: &str) -> bool {
        let Told::Joined { is_recovered } = session.take(packet) else {
            panic!("joined")
        };
        is_recovered
    }

    #[test]
    fn the_same_pid_again_means_recovered() {
        let mut session = Session::default();
        assert_eq!(session.hello(), "40");
        assert!(!is_recovered(&mut session, r#"40{"sid":"a","pid":"p"}"#));
        assert_eq!(session.hello(), r#"40{"pid":"p"}"#);
        assert!(is_recovered(&mut session, r#"40{"sid":"a","pid":"p"}"#));
        assert!(!is_recovered(&mut session, r#"40{"sid":"b","pid":"q"}"#));
        assert!(!is_recovered(&mut session, r#"40{"sid":"b"}"#));
        assert_eq!(session.hello(), "40");
    }

    #[test]
    fn the_trailing_string_of_an_event_is_the_offset() {
        let mut session = Session::default();
        session.take(r#"42["a",{},"early"]"#);
        session.take(r#"40{"sid":"a","pid":"p"}"#);
        assert_eq!(session.hello(), r#"40{"pid":"p"}"#);
        let Told::Event { name, data } = session.take(r#"42["a",{"x":1},"o1"]"#) else {
            panic!("event")
        };
        assert_eq!((name, data.get()), ("a", r#"{"x":1}"#));
        assert_eq!(session.hello(), r#"40{"offset":"o1","pid":"p"}"#);
        session.take(r#"42["subscribed",{"x":1}]"#);
        assert_eq!(session.hello(), r#"40{"offset":"o1","pid":"p"}"#);
    }

    #[test]
    fn what_is_no_event_tells_nothing() {
        for packet in ["42", "42[]", "42[1]", "42{", "43[1]", "", "4", "é"] {
            assert!(
                matches!(Session::default().take(packet), Told::Nothing),
                "{packet}"
            );
        }
        assert!(matches!(Session::default().take("44{}"), Told::Refused));
    }
}

//! The engine's packets on their way out: recognised, kept, dropped or rewritten.
//!
//! The same rules for a websocket frame and for a packet in the body of a poll: clients get public
//! ids, the first ping stays inside, and what opens or closes the way for events is noted.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::connection::ConnectionId;
use crate::face::socketio::encode::Dialect;
use crate::face::socketio::link::{Exit, FirstPing, Link, Probe, Stage, State};

/// What is to become of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Keep,
    Drop,
    /// This packet goes instead.
    Swap(Bytes),
}

/// A Socket.IO packet of the msgpack parser, as far as it matters here.
#[derive(Debug, Deserialize)]
struct MsgpackPacket {
    #[serde(rename = "type")]
    kind: u8,
    nsp: String,
}

/// How an acknowledgement of the msgpack parser goes on after its first byte.
const MSGPACK_ACK: &[u8] = b"\xa4type\x03";

/// The CONNECT answer of the msgpack parser.
#[derive(Debug, Serialize)]
struct MsgpackConnect<'a> {
    #[serde(rename = "type")]
    kind: u8,
    data: MsgpackSid<'a>,
    nsp: &'a str,
}

#[derive(Debug, Serialize)]
struct MsgpackSid<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

impl Link {
    /// Judges a text packet, Engine.IO digit included.
    pub(crate) fn judge_text(self: &Arc<Self>, packet: &[u8]) -> Judgement {
        match packet {
            [b'0', rest @ ..] => self.judge_open(rest),
            [b'1'] => {
                self.lock().exit = Exit::Closed;
                Judgement::Keep
            }
            [b'2'] => self.judge_ping(),
            b"3probe" => {
                let mut state = self.lock();
                if state.probe == Probe::Repeated {
                    state.probe = Probe::None;
                    Judgement::Drop
                } else {
                    Judgement::Keep
                }
            }
            [b'4', packet @ ..] if self.sessions.speaks_socketio() => self.judge_message(packet),
            _ => Judgement::Keep,
        }
    }

    /// Judges a binary packet (the digit or base64 taken off).
    pub(crate) fn judge_binary(&self, packet: &[u8]) -> Judgement {
        let mut state = self.lock();
        if state.attachments > 0 {
            state.attachments -= 1;
            return Judgement::Keep;
        }
        if self.dialect != Dialect::Msgpack {
            return Judgement::Keep;
        }
        if packet.get(1..7) == Some(MSGPACK_ACK) {
            Self::acknowledged(&mut state);
            return Judgement::Keep;
        }
        let Ok(packet) = rmp_serde::from_slice::<MsgpackPacket>(packet) else {
            return Judgement::Keep;
        };
        match packet.kind {
            0 => {
                let (id, pid) = connect_ids(&mut state, &packet.nsp);
                let data = MsgpackSid {
                    sid: id.as_str(),
                    pid: pid.as_deref(),
                };
                let answer = MsgpackConnect {
                    kind: 0,
                    data,
                    nsp: &packet.nsp,
                };
                rmp_serde::to_vec_named(&answer)
                    .map_or(Judgement::Keep, |bytes| Judgement::Swap(bytes.into()))
            }
            1 if packet.nsp == "/" => {
                state.stage = Stage::Joined;
                Judgement::Keep
            }
            _ => Judgement::Keep,
        }
    }

    /// `0{"sid":"…",…}`: the handshake tells us the engine's id.
    fn judge_open(self: &Arc<Self>, packet: &[u8]) -> Judgement {
        const KEY: &str = r#""sid":""#;
        let Ok(text) = std::str::from_utf8(packet) else {
            return Judgement::Keep;
        };
        let Some(start) = text.find(KEY).map(|at| at + KEY.len()) else {
            return Judgement::Keep;
        };
        let Some(len) = text[start..].find('"') else {
            return Judgement::Keep;
        };
        self.learn_sid(&text[start..start + len]);
        if self.dialect == Dialect::TextEio3 && self.is_websocket_born {
            // This client takes the handshake's id for its public one, and never needs the real
            // one, since it is on its last transport already.
            let id = self.lock().id.clone();
            let (before, after) = (&text[..start], &text[start + len..]);
            return Judgement::Swap(format!("0{before}{id}{after}").into());
        }
        if let Some(told) = self.told().filter(|_| !self.is_websocket_born) {
            let (before, after) = (&text[..start], &text[start + len..]);
            return Judgement::Swap(format!("0{before}{told}{after}").into());
        }
        Judgement::Keep
    }

    /// The engine pings at once, where clients expect the first ping after an interval: that one
    /// stays here, and the engine is told that it was answered.
    fn judge_ping(&self) -> Judgement {
        let mut state = self.lock();
        if state.first_ping != FirstPing::Awaited {
            return Judgement::Keep;
        }
        state.first_ping = FirstPing::Past;
        if self.born.elapsed() >= self.sessions.ping_interval() / 2 {
            return Judgement::Keep;
        }
        state.first_ping = FirstPing::Held;
        Judgement::Drop
    }

    fn judge_message(&self, packet: &[u8]) -> Judgement {
        match packet {
            [b'0', rest @ ..] => self.judge_connect(rest),
            [b'1'] => {
                self.lock().stage = Stage::Joined;
                Judgement::Keep
            }
            [b'3', ..] => {
                Self::acknowledged(&mut self.lock());
                Judgement::Keep
            }
            [b'5' | b'6', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
                let count = digits.fold(0_usize, |sum, digit| {
                    sum.saturating_mul(10)
                        .saturating_add(usize::from(digit - b'0'))
                });
                self.lock().attachments = count;
                Judgement::Keep
            }
            _ => Judgement::Keep,
        }
    }

    /// `40{"sid":"…"}` or `40/namespace,{"sid":"…"}`; version 3 clients get no payload.
    fn judge_connect(&self, rest: &[u8]) -> Judgement {
        let Ok(text) = std::str::from_utf8(rest) else {
            return Judgement::Keep;
        };
        let namespace = match text.split_once(',') {
            Some((namespace, _)) if text.starts_with('/') => namespace,
            _ if text.starts_with('/') => text,
            _ => "/",
        };
        let (id, pid) = connect_ids(&mut self.lock(), namespace);
        if self.dialect == Dialect::TextEio3 {
            return Judgement::Keep;
        }
        let prefix = if namespace == "/" {
            String::new()
        } else {
            format!("{namespace},")
        };
        let pid = pid.map_or_else(String::new, |pid| format!(r#","pid":"{pid}""#));
        Judgement::Swap(format!(r#"40{prefix}{{"sid":"{id}"{pid}}}"#).into())
    }
}

/// The ids that a CONNECT answer tells: the public one, and the private one of a session that the
/// client can come back to. Notes that the main namespace opens with it.
fn connect_ids(state: &mut State, namespace: &str) -> (ConnectionId, Option<Box<str>>) {
    if namespace != "/" {
        return (ConnectionId::new(), None);
    }
    state.stage = Stage::Opening;
    let pid = state.resumable.as_ref();
    let pid = pid.map(|resumable| resumable.session.pid().into());
    (state.id.clone(), pid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use std::time::Duration;

    use crate::cluster::Nodes;
    use crate::face::socketio::link::Habits;
    use crate::face::socketio::sessions::Sessions;

    fn link(dialect: Dialect) -> Arc<Link> {
        let sessions = Arc::new(Sessions::new(Duration::from_secs(25), true, Nodes::alone()));
        let habits = Habits {
            dialect,
            is_websocket_born: true,
            poll_packets_max: 16,
            takes_offsets: Some(true),
            wants_cursors: false,
            ticket: None,
        };
        Link::new(habits, &sessions)
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            ours in "[0-6]{0,3}[0-9]{0,22}-?(/[a-z]{0,5},?)?([{]\"sid\":\"[a-z]{0,9}\"?[}]?)?",
        ) {
            for dialect in [Dialect::Text, Dialect::TextEio3, Dialect::Msgpack] {
                let link = link(dialect);
                for packet in [bytes.as_slice(), ours.as_bytes()] {
                    let _ = link.judge_text(packet);
                    let _ = link.judge_binary(packet);
                }
            }
        }

        #[test]
        fn no_msgpack_connect_makes_it_panic(kind in any::<u8>(), nsp in ".{0,20}") {
            let answer = MsgpackConnectText { kind, nsp };
            let packet = rmp_serde::to_vec_named(&answer).unwrap();
            let _ = link(Dialect::Msgpack).judge_binary(&packet);
        }
    }

    #[derive(Serialize)]
    struct MsgpackConnectText {
        #[serde(rename = "type")]
        kind: u8,
        nsp: String,
    }
}

//! Assist: `GET /ws/connect`, as the nscale Assist application speaks it.
//!
//! A client shows a token, in the query or as its first message, and is then a user or an
//! administrator. It joins rooms (`room:{name}`), watches the machine, jobs and documents, and is
//! told what is published to it (`documents:{user}`), also what came while it was away.

mod inside;
mod message;
mod rooms;

use std::time::Duration;

use serde_json::json;

use self::inside::Inside;
use crate::auth::Refusal;
use crate::face::ws::asks::assist::{AssistAnswer, AssistAsk, Token};
use crate::face::ws::dialect::{Close, Dialect, Input, Now, Outputs};
use crate::face::ws::{Answer, Ask, Opening};

/// How long a client may take to show a token.
const AUTH_TIMEOUT: Duration = Duration::from_secs(5);

/// The ticket of the first ask: to be let in.
const ENTERING: u64 = 0;

/// Most messages that wait while a token is looked at.
const EARLY_MAX: usize = 64;

/// One client.
struct Assistant {
    opening: Opening,
    place: Place,
}

/// Where the client is.
enum Place {
    /// It has not shown a token.
    Outside,
    /// Its token is looked at; what it said meanwhile.
    Entering(Vec<String>),
    /// It is in.
    Inside(Box<Inside>),
    /// It was sent away.
    Away,
}

/// A conversation of this dialect.
pub(super) fn begin(opening: Opening) -> Box<dyn Dialect> {
    Box::new(Assistant {
        opening,
        place: Place::Outside,
    })
}

impl Dialect for Assistant {
    fn take(&mut self, input: Input<'_>, now: Now, out: &mut Outputs) {
        match input {
            Input::Connected => match self.opening.token.take() {
                Some(token) => self.enter(token, out),
                None => out.wake_at = Some(now.since + AUTH_TIMEOUT),
            },
            Input::Text(text) => self.text(text, now, out),
            Input::Answer {
                ticket: ENTERING,
                answer: Answer::Assist(answer),
            } => self.entered(answer, now, out),
            other => match (&mut self.place, other) {
                (Place::Inside(inside), input) => inside.take(input, now, out),
                (Place::Outside, Input::Tick) => self.refuse("Authentication required", out),
                (Place::Outside | Place::Entering(_), Input::Binary(_)) => {
                    self.refuse("Authentication required", out);
                }
                (Place::Outside | Place::Entering(_) | Place::Away, _) => {}
            },
        }
    }
}

impl Assistant {
    fn enter(&mut self, token: String, out: &mut Outputs) {
        self.place = Place::Entering(Vec::new());
        let ask = AssistAsk::Enter(Token(token));
        out.ask(ENTERING, Ask::Assist(ask));
    }

    fn refuse(&mut self, why: &str, out: &mut Outputs) {
        self.place = Place::Away;
        out.close(Close::Policy, why);
    }

    fn text(&mut self, text: &str, now: Now, out: &mut Outputs) {
        match &mut self.place {
            Place::Inside(inside) => inside.text(text, now, out),
            Place::Entering(early) if early.len() < EARLY_MAX => early.push(text.to_owned()),
            Place::Entering(_) | Place::Away => {}
            Place::Outside => match message::token(text) {
                Some(token) => self.enter(token, out),
                None => self.refuse("Authentication required", out),
            },
        }
    }

    fn entered(&mut self, answer: Result<AssistAnswer, Refusal>, now: Now, out: &mut Outputs) {
        let early = match std::mem::replace(&mut self.place, Place::Away) {
            Place::Entering(early) => early,
            Place::Inside(mut inside) => {
                inside.refreshed(answer, out);
                self.place = Place::Inside(inside);
                return;
            }
            Place::Outside | Place::Away => return,
        };
        let (principal, member) = match answer {
            Ok(AssistAnswer::Entered(principal, member)) => (principal, member),
            Ok(_) => return,
            Err(refusal) => return self.refuse(&format!("Authentication failed: {refusal}"), out),
        };
        let connection = self.opening.connection.clone();
        let mut inside = Inside::new(connection, principal, *member);
        out.say(&json!({
            "type": "connection",
            "status": "connected",
            "user_id": inside.user(),
            "timestamp": now.iso8601(),
        }));
        inside.begin(now, out);
        for text in early {
            inside.text(&text, now, out);
        }
        self.place = Place::Inside(Box::new(inside));
    }
}

#[cfg(test)]
mod tests;

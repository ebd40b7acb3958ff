//! Assist: `GET /ws/connect`, as the nscale Assist application speaks it.
//!
//! A client shows a token, in the query or as its first message, and is then a user or an
//! administrator. It joins rooms (`room:{name}`), watches the machine, jobs and documents, and is
//! told what is published to it (`documents:{user}`), also what came while it was away.

mod inside;
mod message;
mod rooms;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use self::inside::Inside;
use crate::auth::{Principal, Refusal};
use crate::face::ws::asks::assist::{AssistAnswer, AssistAsk, Member};
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
    /// Its token is looked at; who it is once that is known, and what it said meanwhile.
    Entering(Option<Arc<Principal>>, Vec<String>),
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
                answer: Answer::Admitted(admitted),
            } => self.admitted(admitted, out),
            Input::Answer {
                ticket: ENTERING,
                answer: Answer::Assist(AssistAnswer::Entered(member)),
            } => self.entered(*member, now, out),
            other => match (&mut self.place, other) {
                (Place::Inside(inside), input) => inside.take(input, now, out),
                (Place::Outside, Input::Tick) => self.refuse("Authentication required", out),
                (Place::Outside | Place::Entering(..), Input::Binary(_)) => {
                    self.refuse("Authentication required", out);
                }
                (Place::Outside | Place::Entering(..) | Place::Away, _) => {}
            },
        }
    }
}

impl Assistant {
    fn enter(&mut self, token: String, out: &mut Outputs) {
        self.place = Place::Entering(None, Vec::new());
        out.ask(ENTERING, Ask::Admit(token));
    }

    fn refuse(&mut self, why: &str, out: &mut Outputs) {
        self.place = Place::Away;
        out.close(Close::Policy, why);
    }

    fn text(&mut self, text: &str, now: Now, out: &mut Outputs) {
        match &mut self.place {
            Place::Inside(inside) => inside.text(text, now, out),
            Place::Entering(_, early) if early.len() < EARLY_MAX => early.push(text.to_owned()),
            Place::Entering(..) | Place::Away => {}
            Place::Outside => match message::token(text) {
                Some(token) => self.enter(token, out),
                None => self.refuse("Authentication required", out),
            },
        }
    }

    fn admitted(&mut self, admitted: Result<Arc<Principal>, Refusal>, out: &mut Outputs) {
        let Place::Entering(place, _) = &mut self.place else {
            return;
        };
        match admitted {
            Ok(principal) => match principal.user().map(str::to_owned) {
                Some(user) => {
                    *place = Some(principal);
                    out.ask(ENTERING, Ask::Assist(AssistAsk::Enter(user)));
                }
                None => self.refuse("Authentication failed: the token is no user's", out),
            },
            Err(refusal) => self.refuse(&format!("Authentication failed: {refusal}"), out),
        }
    }

    fn entered(&mut self, member: Member, now: Now, out: &mut Outputs) {
        let place = std::mem::replace(&mut self.place, Place::Away);
        let Place::Entering(Some(principal), early) = place else {
            return;
        };
        let connection = self.opening.connection.clone();
        let mut inside = Inside::new(connection, principal, member);
        out.say(&json!({
            "type": "connection",
            "status": "connected",
            "user_id": inside.user(),
            "timestamp": now.iso8601(),
        }));
        inside.begin(out);
        for text in early {
            inside.text(&text, now, out);
        }
        self.place = Place::Inside(Box::new(inside));
    }
}

#[cfg(test)]
mod tests;

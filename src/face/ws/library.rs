//! The library: `GET /v1/libraries/{id}/ws`, as the arrwDB application speaks it.
//!
//! After the welcome the client sends requests (`search`, `add`, `get`, `delete`, `subscribe`) and
//! gets a response to each, in order; changes by anybody come as events. A client's own response
//! comes before the event it caused: while a change of its own is being made, events wait here.

mod message;

use std::collections::VecDeque;

use serde_json::{Value, json};

use self::message::{Request, Wanted};
use crate::document::LibraryId;
use crate::face::envelope::{self, Telling};
use crate::face::library::Watching;
use crate::face::ws::asks::library::{InLibrary, LibraryAnswer, LibraryAsk, Turn};
use crate::face::ws::dialect::{Close, Dialect, Input, Now, Outputs};
use crate::face::ws::{Answer, Ask, Opening};
use crate::hub::From;
use crate::producer::library::{self as libraries, Error};
use crate::topic::{Cursor, Event, Seq};

/// Most events that wait for a response; beyond that they go first.
const HELD_MAX: usize = 1024;

/// Most messages that wait until the client is let in; one more is refused.
const EARLY_MAX: usize = 64;

/// The ticket of the first ask: to be let in.
const ENTERING: u64 = 0;

/// One client of a library.
struct Library {
    opening: Opening,
    turn: Turn,
    place: Place,
    tickets: u64,
    /// Requests that are being served, oldest first.
    serving: VecDeque<Serving>,
    /// Events that wait for the responses of changes.
    held: VecDeque<(Seq, String)>,
}

/// Where the client is.
enum Place {
    /// Not let in yet; what it said meanwhile.
    Entering(LibraryId, Vec<String>),
    /// In its library, and counted there.
    In {
        library: LibraryId,
        _watching: Watching,
    },
    /// Sent away.
    Away,
}

/// A request that is being served.
struct Serving {
    ticket: u64,
    request_id: String,
    is_change: bool,
}

/// A conversation of this dialect.
pub(super) fn begin(opening: Opening) -> Box<dyn Dialect> {
    Box::new(Library {
        opening,
        turn: Turn::default(),
        place: Place::Away,
        tickets: ENTERING,
        serving: VecDeque::new(),
        held: VecDeque::new(),
    })
}

impl Dialect for Library {
    fn take(&mut self, input: Input<'_>, _: Now, out: &mut Outputs) {
        match input {
            Input::Connected => self.connected(out),
            Input::Text(text) => self.text(text, out),
            Input::Binary(_) => invalid(out, "a message is a text frame"),
            Input::Event { event, is_live } => self.event(event, is_live, out),
            Input::Gap { topic, gap } => {
                let (from, to) = (&gap.from, &gap.to);
                out.say(&json!({ "type": "gap", "topic": topic, "from": from, "to": to }));
            }
            Input::NotFollowed { why, .. } => {
                out.say(&json!({ "type": "error", "error": why }));
                out.close(Close::Overloaded, why);
            }
            Input::Answer {
                ticket,
                answer: Answer::Library(answer),
            } => self.answer(ticket, answer, out),
            Input::Answer {
                ticket,
                answer: Answer::Forbidden,
            } => self.forbidden(ticket, out),
            Input::Answer { .. } | Input::Tick => {}
            Input::Drain => self.release(None, out),
        }
    }
}

impl Library {
    fn connected(&mut self, out: &mut Outputs) {
        let Ok(library) = self.opening.id.parse::<LibraryId>() else {
            let id: String = self.opening.id.chars().take(64).collect();
            return out.close(Close::Policy, format!("Library {id} not found"));
        };
        if let Some(Err(why)) = self.since() {
            out.say(&json!({ "type": "error", "error": why }));
            return out.close(Close::Policy, why);
        }
        self.place = Place::Entering(library, Vec::new());
        out.ask(
            ENTERING,
            self.ask(library, String::new(), LibraryAsk::Enter),
        );
    }

    fn since(&self) -> Option<Result<Cursor, String>> {
        let since = self.opening.since.as_ref()?;
        Some(since.parse::<Cursor>().map_err(|error| error.to_string()))
    }

    fn ask(&self, library: LibraryId, request_id: String, ask: LibraryAsk) -> Ask {
        Ask::Library(Box::new(InLibrary {
            library,
            topic: libraries::topic(library),
            request_id,
            ask,
            turn: self.turn.clone(),
        }))
    }

    fn entered(&mut self, entered: Result<LibraryAnswer, Error>, out: &mut Outputs) {
        let Place::Entering(library, early) = std::mem::replace(&mut self.place, Place::Away)
        else {
            return;
        };
        let watching = match entered {
            Ok(LibraryAnswer::Entered(watching)) => watching,
            Ok(LibraryAnswer::Did { .. }) => return,
            Err(error) => {
                let is_unknown = is_unknown(&error);
                let close = if is_unknown {
                    Close::Policy
                } else {
                    Close::Overloaded
                };
                return out.close(close, error.to_string());
            }
        };
        self.place = Place::In {
            library,
            _watching: watching,
        };
        let from = match self.since() {
            Some(Ok(cursor)) => From::Since(cursor),
            Some(Err(_)) | None => From::Head,
        };
        out.follow(libraries::topic(library), from);
        out.say(&json!({
            "type": "system",
            "message": format!("Connected to library {library}"),
            "connection_id": self.opening.connection,
        }));
        for text in early {
            self.text(&text, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Outputs) {
        match &mut self.place {
            Place::In { library, .. } => {
                let library = *library;
                match message::parse(text) {
                    Ok(request) => self.request(library, request, out),
                    Err(details) => invalid(out, &details),
                }
            }
            Place::Entering(_, early) if early.len() < EARLY_MAX => early.push(text.to_owned()),
            Place::Entering(..) => invalid(out, "wait for the welcome before you send more"),
            Place::Away => {}
        }
    }

    fn request(&mut self, library: LibraryId, request: Request, out: &mut Outputs) {
        let Request { id, wanted } = request;
        match wanted {
            Ok(Wanted::Library(ask)) => {
                self.tickets += 1;
                let is_change = matches!(ask, LibraryAsk::Add(_) | LibraryAsk::Delete(_));
                self.serving.push_back(Serving {
                    ticket: self.tickets,
                    request_id: id.clone(),
                    is_change,
                });
                out.ask(self.tickets, self.ask(library, id, ask));
            }
            Ok(Wanted::Subscribe) => {
                let data = json!({ "message": "Already subscribed to library events" });
                respond(out, &id, Ok(data));
            }
            Err(error) => respond(out, &id, Err(error)),
        }
    }

    fn answer(&mut self, ticket: u64, answer: Result<LibraryAnswer, Error>, out: &mut Outputs) {
        if ticket == ENTERING {
            return self.entered(answer, out);
        }
        let served = self.serving.iter().position(|one| one.ticket == ticket);
        let Some(served) = served.and_then(|at| self.serving.remove(at)) else {
            return;
        };
        let mut told = None;
        let result = match answer {
            Ok(LibraryAnswer::Did { data, seq }) => {
                told = seq;
                Ok(data)
            }
            Ok(LibraryAnswer::Entered(_)) => return,
            Err(error) => Err(error.to_string()),
        };
        respond(out, &served.request_id, result);
        if !self.is_changing() {
            self.release(None, out);
        } else if told.is_some() {
            self.release(told, out);
        }
    }

    /// What the client may not do. A library that it may not read is told as one that is not there.
    fn forbidden(&mut self, ticket: u64, out: &mut Outputs) {
        if ticket == ENTERING {
            self.place = Place::Away;
            return out.close(
                Close::Policy,
                format!("Library {} not found", self.opening.id),
            );
        }
        let served = self.serving.iter().position(|one| one.ticket == ticket);
        if let Some(served) = served.and_then(|at| self.serving.remove(at)) {
            respond(
                out,
                &served.request_id,
                Err("Insufficient permissions".to_owned()),
            );
        }
        if !self.is_changing() {
            self.release(None, out);
        }
    }

    fn is_changing(&self) -> bool {
        self.serving.iter().any(|serving| serving.is_change)
    }

    fn event(&mut self, event: &Event, is_live: bool, out: &mut Outputs) {
        let message = message_of(event, is_live);
        if !self.is_changing() {
            return out.say_text(message);
        }
        self.held.push_back((event.seq, message));
        if self.held.len() > HELD_MAX {
            self.release(None, out);
        }
    }

    /// Sends the events that wait, up to a number.
    fn release(&mut self, up_to: Option<Seq>, out: &mut Outputs) {
        while let Some((seq, _)) = self.held.front() {
            if up_to.is_some_and(|up_to| *seq > up_to) {
                return;
            }
            if let Some((_, message)) = self.held.pop_front() {
                out.say_text(message);
            }
        }
    }
}

/// Whether there is no such library, or the service knows none.
fn is_unknown(error: &Error) -> bool {
    use crate::store::documents;
    use crate::upstream::library as upstream;
    matches!(
        error,
        Error::Documents(documents::Error::LibraryUnknown(_))
            | Error::Upstream(upstream::Error::NotFound(_))
    )
}

fn respond(out: &mut Outputs, request_id: &str, result: Result<Value, String>) {
    let (success, data, error) = match result {
        Ok(data) => (true, data, Value::Null),
        Err(error) => (false, Value::Null, Value::String(error)),
    };
    out.say(&json!({
        "type": "response",
        "request_id": request_id,
        "success": success,
        "data": data,
        "error": error,
    }));
}

fn invalid(out: &mut Outputs, details: &str) {
    out.say(&json!({
        "type": "error",
        "error": "Invalid message format",
        "details": details,
    }));
}

fn message_of(event: &Event, is_live: bool) -> String {
    let telling = if is_live {
        Telling::Plain
    } else {
        Telling::Replayed
    };
    let mut data = Vec::new();
    envelope::payload(&mut data, event, telling);
    let data = String::from_utf8_lossy(&data);
    let (name, id) = (&event.name, event.topic.id());
    format!(r#"{{"type":"event","event_type":"{name}","library_id":"{id}","data":{data}}}"#)
}

#[cfg(test)]
mod tests;

//! A client that has been let in.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{ENTERING, message, rooms};
use crate::auth::{Principal, Role};
use crate::face::ws::asks::assist::{AssistAnswer, AssistAsk, Member, room_event};
use crate::face::ws::dialect::{Input, Now, Output, Outputs};
use crate::face::ws::{Answer, Ask, payload};
use crate::hub::From;
use crate::limit::Limit;
use crate::producer::monitor::{Account, Watch};
use crate::topic::{Draft, Event, EventName, Kind, Payload, TopicName};

/// The name of an event that carries a binary frame.
const BINARY: &str = "binary";

/// A client that has been let in.
pub(super) struct Inside {
    connection: String,
    principal: Arc<Principal>,
    member: Member,
    tickets: u64,
    /// What is asked for, by ticket.
    asked: HashMap<u64, Asked>,
    watches: HashMap<Account, Watch>,
    /// Rooms that are left as soon as the client has been told so.
    leaving: Vec<TopicName>,
    /// Documents of somebody else that an administrator follows.
    others: Vec<TopicName>,
}

/// What is asked for.
enum Asked {
    Watch(Account),
    List,
    Append,
}

impl Inside {
    pub(super) fn new(connection: String, principal: Arc<Principal>, member: Member) -> Self {
        Self {
            connection,
            principal,
            member,
            tickets: ENTERING,
            asked: HashMap::new(),
            watches: HashMap::new(),
            leaving: Vec::new(),
            others: Vec::new(),
        }
    }

    pub(super) fn user(&self) -> &str {
        self.principal.user().unwrap_or_default()
    }

    fn is_admin(&self) -> bool {
        self.principal.role == Role::Admin
    }

    /// What is followed from the beginning.
    pub(super) fn begin(&mut self, out: &mut Outputs) {
        self.follow_own_documents(out);
        let alerts = TopicName::new(Kind::System, "alerts").expect("this is a topic");
        out.follow(alerts, From::Head);
        if self.is_admin() {
            out.follow(Account::Jobs.topic(), From::Head);
            for room in rooms::FROM_THE_BEGINNING {
                self.join(room, out);
            }
        }
    }

    /// What came while the user was away comes first, if it is not too old.
    fn follow_own_documents(&self, out: &mut Outputs) {
        // A user whose id can be no part of a topic is told nothing.
        if let Ok(topic) = TopicName::new(Kind::Documents, self.user()) {
            let from = self.member.has_read().map_or(From::Oldest, From::Since);
            out.follow(topic, from);
        }
    }

    pub(super) fn take(&mut self, input: Input<'_>, now: Now, out: &mut Outputs) {
        match input {
            Input::Binary(bytes) => self.binary(bytes, now, out),
            Input::Event { event, is_live } => self.event(event, is_live, now, out),
            Input::Gap { topic, gap } => {
                let (from, to) = (&gap.from, &gap.to);
                out.say(&json!({ "type": "gap", "topic": topic, "from": from, "to": to }));
            }
            Input::NotFollowed { topic, why } => {
                self.member.left(topic);
                error(now, &why, out);
            }
            Input::Answer { ticket, answer } => self.answer(ticket, answer, now, out),
            Input::Connected | Input::Text(_) | Input::Tick | Input::Drain => {}
        }
    }

    /// A message of the client.
    pub(super) fn text(&mut self, text: &str, now: Now, out: &mut Outputs) {
        if !self.member.may_speak() {
            out.reached(Limit::AssistantMessages);
            return error(now, "Rate limit exceeded", out);
        }
        let said = message::parse(text).and_then(|message| self.message(&message, now, out));
        if let Err(why) = said {
            error(now, &why, out);
        }
    }

    fn message(
        &mut self,
        message: &message::Message,
        now: Now,
        out: &mut Outputs,
    ) -> Result<(), String> {
        let room = || {
            message
                .data
                .get("room")
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match message.kind.as_str() {
            "ping" => out.say(&json!({ "type": "pong", "timestamp": now.iso8601() })),
            "join_room" => self.may_join_room(room(), out)?,
            "leave_room" => self.leave(room(), out)?,
            "subscribe_system_metrics" => self.watch(Account::Metrics, out)?,
            "unsubscribe_system_metrics" => self.unwatch(Account::Metrics, out),
            "subscribe_job_updates" => self.watch(Account::Jobs, out)?,
            "unsubscribe_job_updates" => drop(self.watches.remove(&Account::Jobs)),
            "subscribe_document_updates" => self.documents(&message.data, out)?,
            "unsubscribe_document_updates" => self.no_documents(out),
            "get_active_jobs" => {
                let principal = Arc::clone(&self.principal);
                self.ask(Asked::List, Ask::Assist(AssistAsk::Jobs(principal)), out);
            }
            "get_active_documents" => {
                let user = (!self.is_admin()).then(|| self.user().to_owned());
                self.ask(Asked::List, Ask::Assist(AssistAsk::Documents(user)), out);
            }
            "broadcast_admin" => {
                self.admins_only()?;
                let data = json!({ "from_user": self.user(), "data": message.data });
                let topic = rooms::topic("admin")?;
                self.append(&topic, "admin_broadcast", &data, out)?;
            }
            other => return Err(message::unknown(other)),
        }
        Ok(())
    }

    fn admins_only(&self) -> Result<(), String> {
        if self.is_admin() {
            return Ok(());
        }
        Err("Admin access required".to_owned())
    }

    fn ask(&mut self, asked: Asked, ask: Ask, out: &mut Outputs) {
        self.tickets += 1;
        self.asked.insert(self.tickets, asked);
        out.ask(self.tickets, ask);
    }

    fn append(
        &mut self,
        topic: &TopicName,
        name: &str,
        data: &Value,
        out: &mut Outputs,
    ) -> Result<(), String> {
        let name: EventName = name.parse().expect("the names of this dialect are names");
        let draft = Draft::json(topic.clone(), name, &data.to_string());
        let draft = draft.map_err(|error| error.to_string())?;
        self.ask(Asked::Append, Ask::Append(draft), out);
        Ok(())
    }

    fn may_join_room(&mut self, room: &str, out: &mut Outputs) -> Result<(), String> {
        rooms::topic(room)?;
        if !rooms::may_join(room, self.user(), self.is_admin()) {
            return Err("Insufficient permissions".to_owned());
        }
        let max = self.member.config().rooms_max;
        if self.member.rooms().len() >= max {
            out.reached(Limit::AssistantRooms);
            return Err(format!(
                "At most {max} rooms (`face.ws.assistant.rooms_max`)"
            ));
        }
        self.join(room, out);
        Ok(())
    }

    fn join(&mut self, room: &str, out: &mut Outputs) {
        let Ok(topic) = rooms::topic(room) else {
            return;
        };
        self.leaving.retain(|leaving| *leaving != topic);
        if self.member.joined(topic.clone()) {
            out.follow(topic.clone(), From::Head);
            let joined = room_event(&topic, "user_joined", self.user());
            self.ask(Asked::Append, Ask::Append(joined), out);
        }
    }

    fn leave(&mut self, room: &str, out: &mut Outputs) -> Result<(), String> {
        let topic = rooms::topic(room)?;
        if self.member.left(&topic) {
            let left = room_event(&topic, "user_left", self.user());
            self.leaving.push(topic);
            self.ask(Asked::Append, Ask::Append(left), out);
        }
        Ok(())
    }

    fn watch(&mut self, account: Account, out: &mut Outputs) -> Result<(), String> {
        self.admins_only()?;
        if !self.watches.contains_key(&account) {
            out.follow(account.topic(), From::Head);
            self.ask(
                Asked::Watch(account),
                Ask::Assist(AssistAsk::Watch(account)),
                out,
            );
        }
        Ok(())
    }

    fn unwatch(&mut self, account: Account, out: &mut Outputs) {
        self.asked
            .retain(|_, asked| !matches!(asked, Asked::Watch(asked) if *asked == account));
        self.watches.remove(&account);
        if !self.member.rooms().contains(&account.topic()) {
            out.list.push(Output::Leave(account.topic()));
        }
    }

    /// Documents: one's own, or for an administrator those of another or of all.
    fn documents(
        &mut self,
        data: &serde_json::Map<String, Value>,
        out: &mut Outputs,
    ) -> Result<(), String> {
        let user = data.get("user_id").and_then(Value::as_str);
        match user {
            Some(user) if user != self.user() => {
                if !self.is_admin() {
                    return Err("Insufficient permissions".to_owned());
                }
                let topic = TopicName::new(Kind::Documents, user).map_err(|e| e.to_string())?;
                self.others.push(topic.clone());
                out.follow(topic, From::Head);
            }
            None if self.is_admin() => self.watch(Account::Documents, out)?,
            Some(_) | None => self.follow_own_documents(out),
        }
        Ok(())
    }

    fn no_documents(&mut self, out: &mut Outputs) {
        for topic in std::mem::take(&mut self.others) {
            out.list.push(Output::Leave(topic));
        }
        self.unwatch(Account::Documents, out);
    }

    /// A binary frame goes to everybody in the rooms that the client has joined.
    fn binary(&mut self, bytes: &Bytes, now: Now, out: &mut Outputs) {
        if !self.member.may_speak() {
            out.reached(Limit::AssistantMessages);
            return error(now, "Rate limit exceeded", out);
        }
        let open: Vec<TopicName> = self
            .member
            .rooms()
            .iter()
            .filter(|topic| rooms::is_open(topic))
            .cloned()
            .collect();
        if open.is_empty() {
            return error(now, "Join a room before you send binary frames", out);
        }
        for room in open {
            let name = BINARY.parse().expect("this is a name of an event");
            let draft = Draft::binary(room, name, bytes.clone())
                .and_then(|draft| draft.with_key(Some(&self.connection)));
            match draft {
                Ok(draft) => self.ask(Asked::Append, Ask::Append(draft), out),
                Err(why) => error(now, &why.to_string(), out),
            }
        }
    }

    fn answer(&mut self, ticket: u64, answer: Answer, now: Now, out: &mut Outputs) {
        let asked = self.asked.remove(&ticket);
        match (asked, answer) {
            (Some(Asked::Append), Answer::Appended(Err(why))) => error(now, &why.to_string(), out),
            (Some(Asked::Watch(account)), Answer::Assist(AssistAnswer::Watching(watch, said))) => {
                self.watches.insert(account, watch);
                let timestamp = now.iso8601();
                match account {
                    Account::Metrics => out.say(&json!({
                        "type": "system_metrics", "data": said, "timestamp": timestamp,
                    })),
                    Account::Jobs => out.say(&json!({
                        "type": "job_status", "data": { "jobs": said }, "timestamp": timestamp,
                    })),
                    Account::Documents => {}
                }
            }
            (Some(Asked::List), Answer::Assist(AssistAnswer::Jobs(jobs))) => out.say(&json!({
                "type": "active_jobs", "data": { "jobs": jobs }, "timestamp": now.iso8601(),
            })),
            (Some(Asked::List), Answer::Assist(AssistAnswer::Documents(documents))) => {
                out.say(&json!({
                    "type": "active_documents",
                    "data": { "documents": documents },
                    "timestamp": now.iso8601(),
                }));
            }
            // What came of something that is not wanted any more, or needs no words.
            (_, _) => {}
        }
    }

    fn event(&mut self, event: &Event, is_live: bool, now: Now, out: &mut Outputs) {
        let name = event.name.as_str();
        match event.topic.kind() {
            Kind::Room if event.topic == Account::Documents.topic() && name != "room_event" => {
                say(event, name, is_live, out);
            }
            Kind::Room => self.room(event, is_live, out),
            Kind::Documents => self.document(event, is_live, now, out),
            Kind::System if event.topic == Account::Jobs.topic() => match name {
                "job_updates" if self.watches.contains_key(&Account::Jobs) => {
                    say(event, name, is_live, out);
                }
                "job_updates" => {}
                _ => say(event, "job_status_change", is_live, out),
            },
            Kind::System if event.topic == Account::Metrics.topic() => {
                say(event, "system_metrics", is_live, out);
            }
            Kind::System => say(event, "system_alert", is_live, out),
            Kind::Session | Kind::Job | Kind::Scan | Kind::Library => {}
        }
    }

    fn room(&mut self, event: &Event, is_live: bool, out: &mut Outputs) {
        let is_own = event.key.as_deref() == Some(&*self.connection);
        match (&event.payload, event.name.as_str()) {
            (Payload::Binary(_), _) if is_own => {}
            (Payload::Binary(bytes), _) => {
                out.list.push(Output::Binary(bytes.clone()));
            }
            (_, name @ ("room_event" | "admin_broadcast")) => {
                out.say_text(payload::typed(event, name, is_live));
                let said = payload::value(event);
                let is_own = said["user_id"] == self.user() && said["event"] == "user_left";
                if let Some(at) = self.leaving.iter().position(|room| *room == event.topic)
                    && is_own
                {
                    self.leaving.remove(at);
                    out.list.push(Output::Leave(event.topic.clone()));
                }
            }
            (_, name) => say(event, name, is_live, out),
        }
    }

    /// Something that was published to a user.
    fn document(&mut self, event: &Event, is_live: bool, now: Now, out: &mut Outputs) {
        if event.topic.id() == self.user() {
            let age_max = self.member.config().offline_age_max;
            let age_ms = now.unix_ms.saturating_sub(event.timestamp_ms);
            self.member.read(event.cursor());
            if !is_live && u128::try_from(age_ms).unwrap_or(0) > age_max.as_millis() {
                return;
            }
        }
        say(event, event.name.as_str(), is_live, out);
    }
}

/// An event as a message: its payload as `data`.
fn say(event: &Event, kind: &str, is_live: bool, out: &mut Outputs) {
    out.say_text(payload::within(event, kind, is_live));
}

fn error(now: Now, why: &str, out: &mut Outputs) {
    out.say(&json!({ "type": "error", "error": why, "timestamp": now.iso8601() }));
}

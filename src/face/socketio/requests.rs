//! Requests of one connection: taken in order, one after the other, from one bounded queue.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use crate::connection::{Admission, CloseReason, Door};
use crate::drain::Drain;
use crate::face::socketio::link::{Link, State};
use crate::face::socketio::messages::{self, Problem};
use crate::face::socketio::pacing::{Reply, acknowledge, rest};
use crate::face::socketio::recovery::Recovery;
use crate::face::socketio::sockets::{Deed, Sockets};
use crate::face::socketio::{Config, commanding, entering, producers, subscribing, workers};
use crate::hub::Hub;
use crate::limit::Limit;

/// What a client asks for.
pub(crate) struct Request {
    pub(crate) what: What,
    /// The first argument; nothing if it was missing or cannot be read as JSON.
    pub(crate) data: Option<Value>,
    pub(crate) ack: Reply,
    /// The socket that asks.
    pub(crate) socket: SocketRef,
    /// Who asks.
    pub(crate) admission: Arc<Admission>,
}

/// The kinds of requests.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Subscribe,
    Unsubscribe,
    /// A new token in place of the one before.
    Refresh,
    Publish,
    /// With what is cancelled when the producer leaves: it holds the connection as long as it waits.
    Ask(CancellationToken),
    /// The same, of a worker that waits to hear that its job is to be given up.
    AwaitCancel(CancellationToken),
    /// Something is to be done to the sockets of all nodes.
    Command(Deed),
    /// An event that nobody here listens to.
    Unknown(String),
}

/// What serving requests needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
    pub(crate) door: Door,
    /// The admission of all who do not have to show who they are.
    pub(crate) anyone: Arc<Admission>,
    pub(crate) config: Arc<Config>,
    pub(crate) recovery: Recovery,
    pub(crate) sockets: Sockets,
    pub(crate) drain: Drain,
}

/// The requests of a link that wait for their turn.
#[derive(Default)]
pub(crate) struct Requests {
    waiting: VecDeque<Request>,
    /// A task is serving them.
    is_served: bool,
    desk: Option<Desk>,
}

impl Requests {
    /// Whether nothing waits, and nothing is being served.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_served
    }

    /// Forgets what waits: the connection is gone. (Each request holds its socket.)
    pub(crate) fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.desk = None;
    }
}

impl Link {
    /// Puts a request at the end of the queue. A client that does not read its answers and goes on
    /// asking is closed at the bound.
    pub(crate) fn request(self: &Arc<Self>, request: Request, desk: &Desk) {
        let mut state = self.lock();
        if state.requests.waiting.len() >= desk.config.requests_max {
            drop(state);
            self.count(Limit::SocketIoRequests);
            self.close(CloseReason::Overloaded);
            return;
        }
        state.requests.waiting.push_back(request);
        let waiting = state.requests.waiting.len();
        self.pace(&state, waiting, desk.config.requests_max);
        state.requests.desk.get_or_insert_with(|| desk.clone());
        self.serve_requests(&mut state);
    }

    /// Starts a task that serves the queue, if there is something to serve and none runs. While
    /// too many answers wait to be written, it rests; writing them starts it again.
    pub(crate) fn serve_requests(self: &Arc<Self>, state: &mut State) {
        let requests = &mut state.requests;
        let Some(desk) = &requests.desk else { return };
        if requests.is_served || requests.waiting.is_empty() {
            return;
        }
        requests.is_served = true;
        let (link, desk) = (Arc::clone(self), desk.clone());
        desk.drain.clone().spawn(async move {
            while let Some(request) = link.next_request(&desk) {
                serve(&link, &desk, request).await;
            }
        });
    }

    fn next_request(&self, desk: &Desk) -> Option<Request> {
        let mut state = self.lock();
        let may_serve = state.direct.len() <= desk.config.answers_max
            && state.unsent_answers < desk.config.engine_packets_max.div_ceil(2);
        let next = if may_serve {
            state.requests.waiting.pop_front()
        } else {
            None
        };
        state.requests.is_served = next.is_some();
        let waiting = state.requests.waiting.len();
        self.pace(&state, waiting, desk.config.requests_max);
        if state.requests.waiting.is_empty() && next.is_none() {
            state.requests.waiting = VecDeque::new();
        }
        next
    }
}

async fn serve(link: &Arc<Link>, desk: &Desk, request: Request) {
    let Request {
        what,
        data,
        ack,
        socket,
        admission,
    } = request;
    let publishes = matches!(what, What::Publish | What::Ask(_));
    let limits = desk.door.limits();
    if !publishes && let Err(reached) = limits.message(&entering::account(link, &admission)) {
        let problem = Problem::new("limit_reached", reached.to_string());
        link.answer(messages::error(&Value::Null, &problem, link.dialect));
        acknowledge(link, ack, &json!(problem));
        rest().await;
        return;
    }
    match what {
        What::Subscribe => {
            // A topic that cannot be followed yet is told later, by a gap.
            let _prepared = desk
                .hub
                .prepare(&subscribing::topics(data.as_ref(), desk))
                .await;
            let answer = subscribing::subscribe(link, (desk, &socket), &admission, data).await;
            acknowledge(link, ack, &answer);
        }
        What::Unsubscribe => {
            let answer = subscribing::unsubscribe(link, (desk, &socket), data);
            acknowledge(link, ack, &answer);
        }
        What::Refresh => {
            let answer = entering::refresh(link, (&socket, &admission), data).await;
            acknowledge(link, ack, &answer);
        }
        What::Publish => {
            let answer = producers::publish((desk, link), &admission, data).await;
            acknowledge(link, ack, &answer);
        }
        What::Ask(left) => producers::ask((desk, link), &admission, data, (ack, left)).await,
        What::AwaitCancel(left) => {
            workers::await_cancel((desk, link), &admission, data, (ack, left)).await;
        }
        What::Command(deed) => {
            let answer = commanding::command(desk, &admission, deed, data).await;
            acknowledge(link, ack, &answer);
        }
        What::Unknown(name) => {
            let name: String = name.chars().take(64).collect();
            let problem =
                Problem::new("unknown_event", format!("nothing here listens to `{name}`"));
            link.answer(messages::error(&Value::Null, &problem, link.dialect));
            acknowledge(link, ack, &json!(problem));
        }
    }
}

//! Tickets: what the first request of a session shows, and what later requests must share with it.
//!
//! Whoever knows the engine's id of a session could speak for it. So the id counts only together
//! with what stock clients keep from request to request: their address, their `User-Agent`, their
//! `Origin`, and the credential in their headers if the first request had one. A request that does
//! not fit is answered as if there were no such session, and the session notices nothing.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::header::{ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName, Request};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::auth::Credentials;
use crate::connection::Visitor;
use crate::limit::{Held, Limit, Metrics, Places};
use crate::wire::is_upgrade;

/// The first 64 bits of a digest: enough to compare, nothing to read.
type Print = u64;

/// What the first request of a session shows.
pub(crate) struct Ticket {
    address: IpAddr,
    agent: Option<Print>,
    origin: Option<Print>,
    shown: Option<Print>,
    credentials: Credentials,
    /// The handshake.
    started: Started,
    _places: Places,
}

/// A handshake that was begun.
pub(crate) struct Started {
    counter: Metrics,
    /// The place among handshakes that are not finished.
    unfinished: Mutex<Option<Held>>,
    /// When it has to be finished.
    until: Instant,
}

impl Started {
    /// A handshake that holds a place.
    pub(crate) const fn new(counter: Metrics, unfinished: Held, until: Instant) -> Self {
        Self {
            counter,
            unfinished: Mutex::new(Some(unfinished)),
            until,
        }
    }

    fn finish(&self) -> Option<Held> {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unfinished.take()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.finish().is_some() && Instant::now() >= self.until {
            self.counter.reached(Limit::SocketIoConnect);
        }
    }
}

/// How a later request compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is of the same client.
    Fits,
    /// It shows another credential, which may be a newer one of the same user.
    OtherCredential,
    /// It is of somebody else.
    Foreign,
}

impl Ticket {
    /// The ticket of a first request.
    pub(crate) fn of<B>(
        request: &Request<B>,
        visitor: &Visitor,
        (started, places): (Started, Places),
    ) -> Self {
        let headers = request.headers();
        Self {
            address: visitor.address,
            agent: print_of(headers, USER_AGENT),
            origin: print_of(headers, ORIGIN),
            shown: shown(&visitor.credentials),
            credentials: visitor.credentials.clone(),
            started,
            _places: places,
        }
    }

    /// What the first request showed.
    pub(crate) const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Where the client is.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the client is on this machine.
    pub(crate) const fn is_local(&self) -> bool {
        self.address.is_loopback()
    }

    /// The handshake is finished: a namespace was joined.
    pub(crate) fn finish(&self) {
        drop(self.started.finish());
    }

    /// Counts that the client reached a limit.
    pub(crate) fn count(&self, limit: Limit) {
        self.started.counter.reached(limit);
    }

    /// How a later request compares. Programs that are no browsers leave out `User-Agent` when they
    /// switch to websocket, and browsers the headers of the application; nobody else does.
    pub(crate) fn compare<B>(
        &self,
        request: &Request<B>,
        visitor: &Visitor,
        binds_address: bool,
    ) -> Fit {
        let headers = request.headers();
        let is_switch = is_upgrade(headers);
        if binds_address && visitor.address != self.address {
            return Fit::Foreign;
        }
        let origin = print_of(headers, ORIGIN);
        if self.origin.is_some() && origin.is_some() && origin != self.origin {
            return Fit::Foreign;
        }
        let agent = print_of(headers, USER_AGENT);
        // Every browser names itself. Python's synchronous client gives the server as its origin
        // when it switches, and does not say what it is.
        let is_browser = self.origin.is_some() || (origin.is_some() && agent.is_some());
        let may_lack_agent = is_switch && !is_browser && agent.is_none();
        if agent != self.agent && !may_lack_agent {
            return Fit::Foreign;
        }
        match (self.shown, shown(&visitor.credentials)) {
            (Some(first), Some(now)) if first != now => Fit::OtherCredential,
            (Some(_), None) if !(is_switch && is_browser) => Fit::Foreign,
            _ => Fit::Fits,
        }
    }
}

fn print_of(headers: &HeaderMap, name: HeaderName) -> Option<Print> {
    headers.get(name).map(|value| print(value.as_bytes()))
}

/// What a request shows in its headers or, switching to websocket, in its query.
fn shown(credentials: &Credentials) -> Option<Print> {
    credentials
        .first()
        .map(|credential| print(credential.reveal().as_bytes()))
}

fn print(text: &[u8]) -> Print {
    let digest = Sha256::digest(text);
    let (first, _) = digest
        .split_first_chunk::<8>()
        .expect("a digest has 32 bytes");
    u64::from_le_bytes(*first)
}

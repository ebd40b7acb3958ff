//! The plain WebSocket face: applications that speak JSON over a bare WebSocket.
//!
//! Each application has a `dialect`: one file with a state machine, one line in `TABLE`. The
//! `driver` does the I/O for all of them. To add a dialect: write the file, add the line, and
//! describe it in `docs/protocols/` and the AsyncAPI document; what it needs that takes its time
//! (the store of an application, say) is a variant of `asks::Ask`.

#[allow(dead_code, reason = "for dialects that join")]
mod asks;
mod assistant;
mod budget;
mod compression;
mod config;
mod dialect;
mod directory_scan;
mod driver;
mod follows;
mod job_progress;
mod library;
mod payload;
mod progress_channel;
mod socket;
mod stream;
#[cfg(test)]
mod transcript;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

pub use self::config::Config;

pub(crate) use self::asks::assist::Crowd;
pub(crate) use self::asks::{Answer, Apps, Ask, Desk, Judge};

use self::compression::{Compression, Terms};
use self::dialect::Dialect;
use self::driver::Conversation;
use self::follows::Follows;
use self::socket::{Bounds, Socket};
use crate::auth::Principal;
use crate::connection::{self, Admission, CloseReason, ConnectionId, Door, Standing};
use crate::drain::Drain;
use crate::face::http::admission::Caller;
use crate::face::http::refused;
use crate::hub::Reader;
use crate::limit::Places;
use crate::wire::{self, Upgrade};

/// A dialect's line in the table.
struct Line {
    path: &'static str,
    /// Its name in the metrics and in the list of subscribers.
    name: &'static str,
    begin: fn(Opening) -> Box<dyn Dialect>,
    judge: Judge,
}

/// Every dialect.
const TABLE: [Line; 5] = [
    Line {
        path: "/ws/{job_id}",
        name: "job_progress",
        begin: job_progress::begin,
        judge: Judge::Door,
    },
    Line {
        path: "/ws/scan/{scan_id}",
        name: "directory_scan",
        begin: directory_scan::begin,
        judge: Judge::Door,
    },
    Line {
        path: "/progress/ws/{job_id}",
        name: "progress_channel",
        begin: progress_channel::begin,
        judge: Judge::Door,
    },
    Line {
        path: "/v1/libraries/{id}/ws",
        name: "library",
        begin: library::begin,
        judge: Judge::Door,
    },
    Line {
        path: "/ws/connect",
        name: "assistant",
        begin: assistant::begin,
        judge: Judge::Dialect,
    },
];

/// What a client said in its handshake.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// The variable part of the path, as it came; nothing is checked yet.
    pub(crate) id: String,
    /// `?since=`, as it came.
    pub(crate) since: Option<String>,
    /// `?token=`, for a dialect that looks at tokens itself.
    pub(crate) token: Option<String>,
    /// The public id of the connection.
    pub(crate) connection: String,
    /// `?page_size=`, as it came.
    pub(crate) page_size: Option<String>,
    /// `face.ws.heartbeat_interval`.
    pub(crate) heartbeat_interval: Duration,
}

/// A handle to the face. Cheap to clone.
#[derive(Clone)]
pub struct Ws(Arc<Shared>);

struct Shared {
    config: Config,
    door: Door,
    apps: Apps,
    drain: Drain,
    bounds: Bounds,
    compression: Option<Compression>,
    connections: connection::Metrics,
}

impl Ws {
    /// The face over what it uses.
    pub(crate) fn new(
        (config, wire): (Config, &wire::Config),
        door: Door,
        apps: Apps,
        drain: Drain,
        connections: connection::Metrics,
    ) -> Self {
        let bounds = Bounds {
            message_bytes_max: config.message_bytes_max.bytes(),
            read_buffer_bytes: config.read_buffer_bytes.bytes(),
            write_stall_max: wire.write_stall_max,
            write_stall_bytes_min: wire.write_stall_bytes_min.bytes() as u64,
            linger_max: wire.linger_max,
        };
        let compression = Compression::new(&config.compression);
        Self(Arc::new(Shared {
            config,
            door,
            apps,
            drain,
            bounds,
            compression,
            connections,
        }))
    }

    /// The paths of all dialects.
    pub(crate) fn routes(&self) -> Router {
        TABLE.iter().fold(Router::new(), |router, line| {
            let ws = self.clone();
            let open = move |path, query, request| async move {
                ws.open(line, path, query, request).await
            };
            router.route(line.path, get(open))
        })
    }

    /// Answers the handshake and begins the conversation.
    async fn open(
        &self,
        line: &'static Line,
        Path(parts): Path<Vec<String>>,
        Query(mut query): Query<HashMap<String, String>>,
        mut request: Request,
    ) -> Response {
        if self.0.drain.is_draining() {
            return refused::draining();
        }
        let token = self.own_token(line, &mut request);
        let (admission, places) = match self.admit(&mut request).await {
            Ok(admitted) => admitted,
            Err(response) => return *response,
        };
        let terms = self.terms(&request);
        let (upgrade, mut response) = match Upgrade::accept::<_, Body>(&mut request) {
            Ok(accepted) => accepted,
            Err(error) => return refused::not_an_upgrade(&error.to_string()),
        };
        if let Some(terms) = &terms {
            terms.tell(response.headers_mut());
        }
        let connection = ConnectionId::new().to_string();
        let opening = Opening {
            id: parts.into_iter().next().unwrap_or_default(),
            since: query.remove("since"),
            token,
            connection: connection.clone(),
            page_size: query.remove("page_size"),
            heartbeat_interval: self.0.config.heartbeat_interval,
        };
        let reader = Reader {
            connection,
            principal: admission.principal().name(),
            transport: line.name,
        };
        let standing = standing(&reader, &mut request, &self.0.door);
        let dialect = (line.begin)(opening);
        let ws = self.clone();
        self.0.drain.spawn(async move {
            let Some(raw) = upgrade.raw().await else {
                return;
            };
            let Shared {
                config,
                door,
                apps,
                drain,
                bounds,
                connections,
                ..
            } = &*ws.0;
            connections.opened(line.name);
            let attendance = door.roster().enter(line.name, Arc::new(standing));
            let socket = Socket::new(raw, *bounds, terms);
            let desk = Desk {
                hub: door.hub().clone(),
                admission: Arc::new(admission),
                judge: line.judge,
                apps: apps.clone(),
            };
            let follows = Follows::new(&desk, reader, config.subscriptions_max);
            let config = config.clone();
            let conversation =
                Conversation::new(dialect, (socket, follows), desk, config, drain.clone());
            let reason = tokio::select! {
                reason = conversation.run() => reason,
                () = drain.gave_up() => CloseReason::Drain,
            };
            connections.closed(line.name, reason);
            attendance.end(reason);
            drop(places);
        });
        response.into_response()
    }

    /// On which terms the client's messages are compressed, if it offers that.
    fn terms(&self, request: &Request) -> Option<Terms> {
        let compression = self.0.compression.as_ref()?;
        compression.agree(request.headers())
    }

    /// The token of a client whose dialect looks at it itself.
    fn own_token(&self, line: &Line, request: &mut Request) -> Option<String> {
        match line.judge {
            Judge::Door => None,
            Judge::Dialect => {
                let shown = self.0.door.visitor(request).credentials;
                shown.first().map(|token| token.reveal().to_owned())
            }
        }
    }

    /// Who is at the door, with a place; or the refusal of the handshake. The HTTP face has asked
    /// already, except where a dialect asks for itself, after the handshake.
    async fn admit(&self, request: &mut Request) -> Result<(Admission, Places), Box<Response>> {
        let door = &self.0.door;
        let visitor = door.visitor(request);
        let principal = match request.extensions().get::<Caller>() {
            Some(caller) => Arc::clone(&caller.principal),
            None => Arc::new(Principal::nobody()),
        };
        let name = principal.name();
        let places = door
            .connect(Some(visitor.address), name.as_deref())
            .await
            .map_err(|reached| Box::new(refused::limit(reached)))?;
        Ok((Admission::new(door.clone(), principal), places))
    }
}

/// How a client stands in the roster. Its credential is in no part of the path.
fn standing(reader: &Reader, request: &mut Request, door: &Door) -> Standing {
    Standing {
        connection: reader.connection.clone(),
        transport: "websocket",
        principal: reader.principal.clone(),
        address: Some(door.visitor(request).address),
        path: request.uri().path().to_owned(),
        topics: Vec::new(),
        subscriptions: None,
        lag: None,
    }
}

//! The configuration: one struct that nests the `Config` of every part.
//!
//! [`load`] lays the embedded defaults (`config/tidings.toml`), the user's file, the environment
//! and the flags over each other, later ones winning, and either returns a whole configuration or
//! all that is wrong with it, by key and source. Nothing else in the crate reads the environment.
//! Defaults live in the embedded file alone: a part that joins is one line in [`Config`] and one
//! section in that file.

mod difference;
mod environment;
mod flatten;
mod log;
mod print;
mod problem;
mod resolve;
mod sources;
mod trace;

pub use self::log::{Format, Log};
pub use self::problem::{Origin, Problem, Problems};
pub use self::sources::Sources;
pub use self::trace::Trace;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::auth::Mode;
use crate::topic::Kind;

/// The manual and every default, in one file.
const DEFAULTS: &str = include_str!("../../config/tidings.toml");

/// The key that `--listen` and `PORT` change.
const LISTEN: [&str; 2] = ["wire", "listen"];

/// Everything that can be configured, by part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go.
    pub trace: Trace,
    /// Who may enter.
    pub auth: crate::auth::Config,
    /// How much somebody may take.
    pub limit: crate::limit::Config,
    /// The listener and its connections.
    pub wire: crate::wire::Config,
    /// Logs and receipts.
    pub store: crate::store::Config,
    /// The other nodes.
    pub cluster: crate::cluster::Config,
    /// Topics, fan-out and questions.
    pub hub: crate::hub::Config,
    /// Producers that live in the process.
    pub producer: Producers,
    /// What clients see.
    pub face: Faces,
    /// The applications behind the gateway.
    pub upstream: Upstreams,
    /// How the process finishes.
    pub drain: crate::drain::Config,
}

/// Producers that live in the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producers {
    /// Scans of directories.
    pub scan: crate::producer::scan::Config,
    /// Other people's emitters.
    pub bridges: crate::producer::bridges::Bridges,
    /// The stream to which workers add entries.
    pub inbox: crate::producer::inbox::Inbox,
    /// The machine, and the news of all jobs and documents.
    pub monitor: crate::producer::monitor::Config,
    /// Workers that are told by webhook.
    pub webhook: crate::producer::webhook::Config,
}

/// What clients see.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faces {
    /// Socket.IO clients.
    pub socketio: crate::face::socketio::Config,
    /// HTTP clients.
    pub http: crate::face::http::Config,
    /// Clients of the plain WebSocket dialects.
    pub ws: crate::face::ws::Config,
}

/// The applications behind the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstreams {
    /// A library service.
    pub library: crate::upstream::library::Config,
}

/// A configuration, and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: BTreeMap<Vec<String>, Origin>,
}

/// Lays the sources over the defaults.
///
/// # Errors
/// All problems of all sources at once.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut resolved = resolve::resolve(sources);
    if let Some(config) = &resolved.config {
        resolved
            .problems
            .extend(config.contradictions(&resolved.origins));
    }
    match resolved.config {
        Some(config) if resolved.problems.is_empty() => Ok(Loaded {
            config,
            origins: resolved.origins,
        }),
        _ => Err(Problems(resolved.problems)),
    }
}

impl Config {
    /// The keys of what is otherwise in another configuration.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        difference::keys(self, other)
    }

    /// What each value alone does not show to be wrong.
    fn contradictions(&self, origins: &BTreeMap<Vec<String>, Origin>) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |key: &[&str], what: String| {
            let key: Vec<String> = key.iter().map(|part| (*part).to_owned()).collect();
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            found.push(Problem::new(&key, origin, what));
        };
        let listen = self.wire.listen;
        if !listen.ip().is_loopback() && self.auth.mode == Mode::None && !self.auth.insecure {
            let what = format!(
                "`{listen}` can be reached from other machines, and `auth.mode` is `none`, so \
                 everybody there could read and publish everything; set `auth.mode = \"token\"` with a \
                 key in `auth.jwt` or API keys, listen on 127.0.0.1, or pass `--insecure` if \
                 something in front decides who may enter"
            );
            add(&LISTEN, what);
        }
        if let [_, second, ..] = self.auth.jwt.sources().as_slice() {
            let what = "tokens are checked with one sort of key: keep one of `auth.jwt.secret`, \
                        `auth.jwt.public_key_file` and `auth.jwt.jwks_url`";
            add(&["auth", "jwt", second], what.to_owned());
        }
        let uses_tokens = self.auth.mode == Mode::Token || !self.auth.jwt.sources().is_empty();
        let held = self.store.bounds(Kind::System).events_max;
        if uses_tokens && self.auth.revocations_max > held / 2 {
            let what = format!(
                "revocations are kept in a topic of at most `store.log_events_max` ({held}) \
                 events, half of which may hold at a time"
            );
            add(&["auth", "revocations_max"], what);
        }
        if let Err(what) = crate::auth::Origins::new(&self.face.http.cors_origins) {
            add(&["face", "http", "cors_origins"], what.to_string());
        }
        if let Err(what) =
            crate::limit::Limits::new(self.limit.clone(), crate::limit::Metrics::default())
        {
            add(&["limit", "trusted_proxies"], what.to_string());
        }
        let webhook = &self.producer.webhook;
        if webhook.is_on() && webhook.secret.is_none() {
            let what = "webhooks are signed: set a secret of 24 bytes or more, better by a file \
                        whose name is in TIDINGS__PRODUCER__WEBHOOK__SECRET_FILE";
            add(&["producer", "webhook", "secret"], what.to_owned());
        }
        if let Some((key, what)) = self.trace.problem() {
            add(&["trace", key], what.to_owned());
        }
        if let Some((key, what)) = self.cluster.problem() {
            add(&["cluster", key], what);
        }
        if let Err((key, what)) = self.face.socketio.admin_ui.check() {
            add(&["face", "socketio", "admin_ui", key], what);
        }
        if let Err(what) = self.log.directives() {
            add(&["log", "filter"], what);
        }
        found
    }
}

impl Loaded {
    /// Whether a user set a key.
    pub fn is_set(&self, key: &[&str]) -> bool {
        let key: Vec<String> = key.iter().map(|part| (*part).to_owned()).collect();
        self.origins.contains_key(&key)
    }

    /// The configuration as TOML; what differs from the defaults says where it came from.
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.config, &self.origins)
    }
}

#[cfg(test)]
mod tests;

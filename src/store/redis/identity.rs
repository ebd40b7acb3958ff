//! Which servers hold the data: by that a restart is told from a failover, and both from a lost
//! connection.

use fred::error::Error as Fault;
use fred::interfaces::{ClientLike as _, ClusterInterface as _, ConfigInterface as _};
use fred::types::config::{Options, Server, ServerConfig};
use fred::types::{InfoKind, Value};

use crate::store::redis::Redis;
use crate::store::redis::config::Restarts;

/// The servers that hold the data.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Changes at every start of one of them.
    pub(super) run: String,
    /// Changes when a replica takes over.
    pub(super) replication: String,
    /// The replication that it took over; zeros if it did not.
    pub(super) before: String,
    /// Where they are.
    pub(super) at: String,
    /// Whether a restart loses nothing.
    pub(super) keeps_all: bool,
}

impl Redis {
    pub(super) fn is_cluster(&self) -> bool {
        let config = self.0.commands.client_config();
        matches!(config.server, ServerConfig::Clustered { .. })
    }

    /// The primary that a key is on, in a cluster.
    pub(super) fn primary_of(&self, key: &str) -> Option<Server> {
        if !self.is_cluster() {
            return None;
        }
        let routing = self.0.commands.cached_cluster_state()?;
        let slot = fred::types::cluster::ClusterRouting::hash_key(key.as_bytes());
        routing.get_server(slot).cloned()
    }

    /// Which servers hold the data now.
    pub(super) async fn identity(&self) -> Result<Identity, Fault> {
        if !self.is_cluster() {
            let at = self.0.commands.active_connections();
            let mut identity = self.identity_of(None).await?;
            identity.at = at.first().map(ToString::to_string).unwrap_or_default();
            return Ok(identity);
        }
        let routing = self.0.commands.cached_cluster_state();
        let primaries = routing.map(|routing| routing.unique_primary_nodes());
        let mut whole = Identity {
            keeps_all: true,
            ..Identity::default()
        };
        for primary in primaries.unwrap_or_default() {
            let one = self.identity_of(Some(&primary)).await?;
            for (all, part) in [
                (&mut whole.run, &one.run),
                (&mut whole.replication, &one.replication),
                (&mut whole.at, &primary.to_string()),
            ] {
                all.push_str(part);
                all.push(' ');
            }
            whole.keeps_all &= one.keeps_all;
        }
        Ok(whole)
    }

    async fn identity_of(&self, server: Option<&Server>) -> Result<Identity, Fault> {
        let options = Options {
            cluster_node: server.cloned(),
            ..self.0.options.clone()
        };
        let commands = self.0.commands.with_options(&options);
        let told: String = commands.info(Some(InfoKind::Server)).await?;
        let replication: String = commands.info(Some(InfoKind::Replication)).await?;
        Ok(Identity {
            run: field(&told, "run_id").to_owned(),
            replication: field(&replication, "master_replid").to_owned(),
            before: field(&replication, "master_replid2").to_owned(),
            at: String::new(),
            keeps_all: match self.0.config.redis.restarts {
                Restarts::Keep => true,
                Restarts::Lose => false,
                Restarts::Ask => self.says_it_keeps_all(&options).await,
            },
        })
    }

    /// Whether a server says that it acknowledges only what is on its disk.
    async fn says_it_keeps_all(&self, options: &Options) -> bool {
        let ask = async |name: &str| {
            let commands = self.0.commands.with_options(options);
            let told: Result<Value, Fault> = commands.config_get(name).await;
            let map = told.and_then(Value::into_map).ok()?;
            map.get(&name.into()).and_then(Value::as_string)
        };
        ask("appendonly").await.as_deref() == Some("yes")
            && ask("appendfsync").await.as_deref() == Some("always")
    }
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map_or("", str::trim)
}

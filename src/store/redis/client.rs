//! The connections to Redis.

use std::time::Duration;

use fred::clients::Client;
use fred::types::RespVersion;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, TcpConfig, UnresponsiveConfig,
};

use crate::store::OpenError;
use crate::store::redis::config;
#[cfg(feature = "redis-tls")]
use crate::store::redis::tls;

/// The two clients of a node.
pub(super) struct Made {
    pub(super) commands: Client,
    pub(super) follower: Client,
}

/// Makes them; they are not connected yet.
pub(super) fn make(config: &config::Redis, url: &str) -> Result<Made, OpenError> {
    let bad = |why: String| OpenError::Redis(why);
    // The certificates of the system are read only if they are needed.
    let rest = url.strip_prefix("rediss");
    let plain = rest.map_or_else(|| url.to_owned(), |rest| format!("redis{rest}"));
    let mut parsed = Config::from_url(&plain).map_err(|error| {
        bad(format!(
            "`store.redis.url` is no address of a Redis: write redis://HOST:PORT, or rediss:// with TLS ({})",
            error.details()
        ))
    })?;
    if config.username.is_some() {
        parsed.username.clone_from(&config.username);
    }
    if let Some(file) = &config.password_file {
        let read = std::fs::read_to_string(file);
        let read = read.map_err(|e| bad(format!("`{}` cannot be read: {e}", file.display())))?;
        parsed.password = Some(read.trim_end().to_owned());
    }
    if rest.is_some() {
        encrypt(&mut parsed, config).map_err(bad)?;
    }
    parsed.version = RespVersion::RESP3;
    parsed.fail_fast = false;
    Ok(Made {
        commands: client(config, &parsed),
        follower: client(config, &parsed),
    })
}

#[cfg(feature = "redis-tls")]
fn encrypt(parsed: &mut Config, config: &config::Redis) -> Result<(), String> {
    parsed.tls = Some(tls::config(config.ca_file.as_deref())?);
    Ok(())
}

#[cfg(not(feature = "redis-tls"))]
fn encrypt(_: &mut Config, _: &config::Redis) -> Result<(), String> {
    Err(
        "this build has no TLS for Redis: build it with the feature `redis-tls`, which is on by \
         default, or use a `redis://` address"
            .to_owned(),
    )
}

fn client(config: &config::Redis, parsed: &Config) -> Client {
    let performance = PerformanceConfig {
        default_command_timeout: config.command_timeout,
        broadcast_channel_capacity: config.news_max.max(1),
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: config.connect_timeout,
        internal_command_timeout: config.connect_timeout,
        max_command_attempts: 1,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(config.command_timeout * 4),
            interval: config.command_timeout,
        },
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    };
    let delay_ms = config.reconnect_delay.max(Duration::from_millis(10));
    let delay_ms = u32::try_from(delay_ms.as_millis()).unwrap_or(u32::MAX);
    let policy = ReconnectPolicy::Constant {
        attempts: 0,
        max_attempts: 0,
        delay: delay_ms,
        jitter: delay_ms / 4,
    };
    Client::new(
        parsed.clone(),
        Some(performance),
        Some(connection),
        Some(policy),
    )
}

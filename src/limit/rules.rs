//! The rules: what a config allows, and the rates by which it is counted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::limit::proxies::Proxies;
use crate::limit::rates::Rate;
use crate::limit::{Account, Config, ProxyError};

/// The limits that hold at a time.
pub(super) struct Rules {
    pub(super) config: Config,
    pub(super) proxies: Proxies,
    pub(super) handshakes: Arc<Rate<IpAddr>>,
    pub(super) messages: Arc<Rate<Account>>,
    pub(super) subscribes: Arc<Rate<Account>>,
    pub(super) events: Arc<Rate<Account>>,
}

impl Rules {
    pub(super) fn new(config: Config) -> Result<Self, ProxyError> {
        let keys_max = config.accounts_max;
        let second = |max| Arc::new(Rate::per_second(max, keys_max));
        let minute = |max| Arc::new(Rate::per_minute(max, keys_max));
        Ok(Self {
            proxies: Proxies::new(&config.trusted_proxies)?,
            handshakes: Arc::new(Rate::per_second(config.handshakes_per_second, keys_max)),
            messages: minute(config.messages_per_minute),
            subscribes: minute(config.subscribes_per_minute),
            events: second(config.events_per_second),
            config,
        })
    }

    /// The rules of another config. A rate that is the same there goes on where it is.
    pub(super) fn changed(&self, config: Config) -> Result<Self, ProxyError> {
        let mut new = Self::new(config)?;
        let (old, is) = (&self.config, &new.config);
        if old.accounts_max != is.accounts_max {
            return Ok(new);
        }
        if old.handshakes_per_second == is.handshakes_per_second {
            new.handshakes = Arc::clone(&self.handshakes);
        }
        if old.messages_per_minute == is.messages_per_minute {
            new.messages = Arc::clone(&self.messages);
        }
        if old.subscribes_per_minute == is.subscribes_per_minute {
            new.subscribes = Arc::clone(&self.subscribes);
        }
        if old.events_per_second == is.events_per_second {
            new.events = Arc::clone(&self.events);
        }
        Ok(new)
    }
}

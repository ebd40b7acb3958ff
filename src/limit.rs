//! How much somebody may take: connections, handshakes, messages, events.
//!
//! Places ([`Held`]) are held for as long as something lives and given back when it is dropped;
//! rates let a burst of a second or a minute through and then one by one. Whoever reaches a limit
//! gets a [`Reached`] that names it; the face says it in its own language. Nobody else notices.

mod config;
mod counts;
mod metrics;
mod name;
mod proxies;
mod rates;
mod rules;

pub use self::config::Config;
pub use self::counts::Held;
pub use self::metrics::Metrics;
pub use self::name::Limit;
pub use self::proxies::ProxyError;
pub use self::rates::Quota;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use self::counts::Counts;
use self::rules::Rules;

/// A limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` of {max} is reached: try again in {} s", limit.as_str(), self.retry_after_seconds())]
pub struct Reached {
    /// Which one.
    pub limit: Limit,
    /// What it allows.
    pub max: u32,
    /// When it is worth another try.
    pub retry_after: Duration,
}

impl Reached {
    /// When it is worth another try, in whole seconds, at least one.
    pub fn retry_after_seconds(&self) -> u32 {
        let seconds = self.retry_after.as_millis().div_ceil(1000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

/// Whose account something goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// That of a principal, by its name.
    Principal(Arc<str>),
    /// That of a connection, by its public id, when nobody knows who it is.
    Connection(Arc<str>),
    /// That of an address, when there is no connection either, or one is easily had; of IPv6 that of
    /// its /64.
    Address(IpAddr),
}

impl Account {
    /// The account that this is kept in: an address stands for its network.
    fn of_network(&self) -> Cow<'_, Self> {
        match self {
            Self::Address(address) => Cow::Owned(Self::Address(network_of(*address))),
            Self::Principal(_) | Self::Connection(_) => Cow::Borrowed(self),
        }
    }
}

/// The places of a connection; dropped, they are given back.
#[derive(Debug)]
pub struct Places {
    _by_address: Option<Held>,
    _by_user: Option<Held>,
}

/// The limits of the node. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    rules: RwLock<Arc<Rules>>,
    per_user: Counts<Arc<str>>,
    per_address: Counts<IpAddr>,
    sockets: Counts<IpAddr>,
    unfinished: Counts<()>,
    metrics: Metrics,
}

impl Limits {
    /// The limits of a config.
    ///
    /// # Errors
    /// When a trusted proxy is no network.
    pub fn new(config: Config, metrics: Metrics) -> Result<Self, ProxyError> {
        Ok(Self(Arc::new(Shared {
            rules: RwLock::new(Arc::new(Rules::new(config)?)),
            per_user: Counts::default(),
            per_address: Counts::default(),
            sockets: Counts::default(),
            unfinished: Counts::default(),
            metrics,
        })))
    }

    /// How many connections that have ended are to be remembered.
    pub fn ended_max(&self) -> usize {
        self.rules().config.connections_ended_max
    }

    /// Every limit with what it allows.
    pub fn table(&self) -> [(Limit, u32); 7] {
        let rules = self.rules();
        let config = &rules.config;
        [
            (Limit::ConnectionsPerUser, config.connections_per_user_max),
            (
                Limit::ConnectionsPerAddress,
                config.connections_per_address_max,
            ),
            (Limit::Handshakes, config.handshakes_per_second),
            (
                Limit::HandshakesUnfinished,
                config.handshakes_unfinished_max,
            ),
            (Limit::Messages, config.messages_per_minute),
            (Limit::Subscribes, config.subscribes_per_minute),
            (Limit::Events, config.events_per_second),
        ]
    }

    /// Other limits hold from now on. Places that are held stay held; a rate that stays the same
    /// goes on where it is.
    ///
    /// # Errors
    /// When a trusted proxy is no network; then nothing has changed.
    pub fn change(&self, config: Config) -> Result<(), ProxyError> {
        let mut rules = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        *rules = Arc::new(rules.changed(config)?);
        Ok(())
    }

    fn rules(&self) -> Arc<Rules> {
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&rules)
    }

    /// Where a client is: its own address, or what trusted proxies before it say. `forwarded` are
    /// the entries of `X-Forwarded-For`, in order.
    pub fn address_of<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        self.rules().proxies.address_of(peer, forwarded)
    }

    /// A place for a socket from an address, before anything is read of it. Neither this machine's
    /// nor those of trusted proxies, who bring many clients, are counted.
    ///
    /// # Errors
    /// When the address holds as many as it may.
    pub fn accept(&self, peer: IpAddr) -> Result<Option<Held>, Reached> {
        let rules = self.rules();
        if peer.is_loopback() || rules.proxies.trusts(peer) {
            return Ok(None);
        }
        let max = rules.config.sockets_per_address_max;
        let held = self.0.sockets.take(network_of(peer), max);
        held.map(Some)
            .ok_or_else(|| self.reached(Limit::SocketsPerAddress, max))
    }

    /// What counts the limits that are reached, for those that outlive the rest.
    pub fn counter(&self) -> Metrics {
        self.0.metrics.clone()
    }

    /// Counts that somebody reached a limit that is kept elsewhere.
    pub fn count(&self, limit: Limit) {
        self.0.metrics.reached(limit);
    }

    /// A place for a connection of somebody. The node's own machine is not counted by address.
    ///
    /// # Errors
    /// When the user or the address holds as many as it may.
    pub fn connect(&self, address: IpAddr, user: Option<&str>) -> Result<Places, Reached> {
        let rules = self.rules();
        let config = &rules.config;
        let by_address = if address.is_loopback() {
            None
        } else {
            let max = config.connections_per_address_max;
            let held = self.0.per_address.take(network_of(address), max);
            Some(held.ok_or_else(|| self.reached(Limit::ConnectionsPerAddress, max))?)
        };
        let places = self.connect_user(user)?;
        Ok(Places {
            _by_address: by_address,
            ..places
        })
    }

    /// The same, when the address has been counted already.
    ///
    /// # Errors
    /// When the user holds as many as it may.
    pub fn connect_user(&self, user: Option<&str>) -> Result<Places, Reached> {
        let max = self.rules().config.connections_per_user_max;
        let by_user = user
            .map(|user| {
                let held = self.0.per_user.take(user.into(), max);
                held.ok_or_else(|| self.reached(Limit::ConnectionsPerUser, max))
            })
            .transpose()?;
        Ok(Places {
            _by_address: None,
            _by_user: by_user,
        })
    }

    /// Sets who is told how many connections a user has here, at every change.
    pub fn on_user_change(&self, told: impl Fn(&str, u32) + Send + Sync + 'static) {
        let told = move |user: &Arc<str>, count| told(user, count);
        self.0.per_user.on_change(Box::new(told));
    }

    /// How many connections a user has here, and how many they may have everywhere.
    pub fn connections_of(&self, user: &str) -> (u32, u32) {
        let here = self.0.per_user.held(&user.into());
        (here, self.rules().config.connections_per_user_max)
    }

    /// A user has as many connections as they may, those on other nodes counted.
    pub fn user_is_full(&self) -> Reached {
        let max = self.rules().config.connections_per_user_max;
        self.reached(Limit::ConnectionsPerUser, max)
    }

    /// A place for a handshake that has begun. It is given back when it is finished.
    ///
    /// # Errors
    /// When too many are under way, or too many came from the address.
    pub fn handshake(&self, address: IpAddr) -> Result<Held, Reached> {
        let rules = self.rules();
        let config = &rules.config;
        if !address.is_loopback() {
            let rate = &rules.handshakes;
            rate.take(&network_of(address), 1).map_err(|after| {
                self.slow_down(Limit::Handshakes, config.handshakes_per_second, after)
            })?;
        }
        let max = config.handshakes_unfinished_max;
        let held = self.0.unfinished.take((), max);
        held.ok_or_else(|| self.reached(Limit::HandshakesUnfinished, max))
    }

    /// Counts a message of a client.
    ///
    /// # Errors
    /// When there were too many.
    pub fn message(&self, account: &Account) -> Result<(), Reached> {
        let rules = self.rules();
        let max = rules.config.messages_per_minute;
        let taken = rules.messages.take(&account.of_network(), 1);
        taken
            .map(drop)
            .map_err(|after| self.slow_down(Limit::Messages, max, after))
    }

    /// Counts topics that a client asks for.
    ///
    /// # Errors
    /// When there were too many.
    pub fn subscribe(&self, account: &Account, topics: usize) -> Result<(), Reached> {
        let rules = self.rules();
        let max = rules.config.subscribes_per_minute;
        let taken = rules.subscribes.take(&account.of_network(), topics);
        taken
            .map(drop)
            .map_err(|after| self.slow_down(Limit::Subscribes, max, after))
    }

    /// Counts events that a producer publishes. Returns what it may still publish at once.
    ///
    /// # Errors
    /// When there were too many.
    pub fn publish(&self, account: &Account, events: usize) -> Result<Quota, Reached> {
        let rules = self.rules();
        let max = rules.config.events_per_second;
        rules
            .events
            .take(&account.of_network(), events)
            .map_err(|after| self.slow_down(Limit::Events, max, after))
    }

    fn reached(&self, limit: Limit, max: u32) -> Reached {
        /// Connections end when their clients like.
        const RETRY_AFTER: Duration = Duration::from_secs(5);
        self.slow_down(limit, max, RETRY_AFTER)
    }

    fn slow_down(&self, limit: Limit, max: u32, retry_after: Duration) -> Reached {
        self.0.metrics.reached(limit);
        Reached {
            limit,
            max,
            retry_after,
        }
    }
}

/// What counts as one address: of IPv6 the network that one subscriber gets.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => {
                let [a, b, c, d, ..] = v6.segments();
                std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        },
    }
}

#[cfg(test)]
mod tests;

//! Who is there: what each node tells in Redis, as this node knows it.
//!
//! What is known stays known while Redis is away, and for a while when another node is missing from
//! what Redis tells: after a Redis that forgot everything all nodes have to tell again. Where a node
//! is reached stays known for longer still, for the sessions that it may have: a node that is silent
//! may be slow, or away from Redis, and one that is gone takes no connection.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::uri::Authority;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::{Nodes, Shared};
use crate::store::Beat;

/// How soon a beat that failed is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Another node.
#[derive(Debug, Clone)]
struct Peer {
    address: Authority,
    /// Redis has not told of it since.
    missing: Option<Instant>,
    /// It is there, as far as is known.
    is_present: bool,
}

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Registry {
    peers: RwLock<HashMap<Uuid, Peer>>,
    /// Where this node is reached, once that is known.
    own: RwLock<Option<String>>,
    /// When the newest beat that was answered began.
    beaten: tokio::sync::Mutex<Option<Instant>>,
    /// Whether Redis has answered a beat.
    joined: watch::Sender<bool>,
}

/// How long a node that Redis does not tell of any more is known.
#[derive(Debug, Clone, Copy)]
struct Ages {
    /// As one of the nodes.
    present: Duration,
    /// As the one that has the sessions which bear its name.
    reached: Duration,
}

impl Registry {
    pub(super) fn is_joined(&self) -> bool {
        *self.joined.borrow()
    }

    /// Waits until this node knows the others; at most so long.
    pub(super) async fn join(&self, limit: Duration) {
        let mut joined = self.joined.subscribe();
        let known = joined.wait_for(|is_joined| *is_joined);
        let _ = tokio::time::timeout(limit, known).await;
    }

    fn get(&self, node: Uuid) -> Option<Authority> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&node).map(|peer| peer.address.clone())
    }

    /// Where this node is reached, once that is known.
    pub(super) fn address(&self) -> Option<String> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.clone()
    }

    /// All that are there, as far as is known, by their names.
    pub(super) fn all(&self) -> Vec<(Uuid, Authority)> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = peers
            .iter()
            .filter(|(_, peer)| peer.is_present)
            .map(|(id, peer)| (*id, peer.address.clone()))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Takes in what Redis tells. Returns how many other nodes are there.
    fn take(&self, told: Vec<(Uuid, String)>, ages: Ages) -> usize {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for peer in peers.values_mut() {
            peer.missing.get_or_insert(now);
        }
        for (id, address) in told {
            if let Ok(address) = address.parse() {
                let peer = Peer {
                    address,
                    missing: None,
                    is_present: true,
                };
                peers.insert(id, peer);
            }
        }
        let is_within = |peer: &Peer, age| peer.missing.is_none_or(|since| now - since < age);
        peers.retain(|_, peer| {
            peer.is_present = is_within(peer, ages.present);
            peer.is_present || is_within(peer, ages.reached)
        });
        peers.values().filter(|peer| peer.is_present).count()
    }
}

impl Nodes {
    /// Tells that this node is there, until the drain has come to its doors.
    pub(super) async fn keep(&self) {
        let Some(own) = &self.0 else { return };
        loop {
            let is_told = own.beat(&mut *own.registry.beaten.lock().await).await;
            let often = own.store.redis().map(|redis| redis.config().node_age / 5);
            let rest = often.filter(|_| is_told).unwrap_or(AGAIN);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = own.drain.doors_closed() => break,
            }
        }
        own.tell("").await;
    }
}

impl Shared {
    /// Where a node is reached. One that is not known may have joined just now.
    pub(super) async fn find(&self, node: Uuid) -> Option<Authority> {
        if let Some(found) = self.registry.get(node) {
            return Some(found);
        }
        let asked = Instant::now();
        let mut beaten = self.registry.beaten.lock().await;
        // Whoever asked meanwhile has the answer for all who waited.
        if beaten.is_none_or(|at| at < asked) {
            self.beat(&mut beaten).await;
        }
        drop(beaten);
        self.registry.get(node)
    }

    /// Returns whether Redis answered.
    async fn beat(&self, beaten: &mut Option<Instant>) -> bool {
        let begun = Instant::now();
        let Some(address) = self.address().await else {
            return false;
        };
        let is_told = self.tell(&address).await;
        if is_told {
            *beaten = Some(begun);
        }
        is_told
    }

    async fn tell(&self, address: &str) -> bool {
        let Some(redis) = self.store.redis() else {
            return false;
        };
        let secret = self.secrets.proposal();
        let beat = Beat {
            address,
            secret: &secret,
        };
        let Ok(present) = redis.beat(beat).await else {
            return false;
        };
        self.secrets.take(&present.secret);
        let own = self.id;
        let others = present.nodes.into_iter().filter(|(id, _)| *id != own);
        let ages = Ages {
            present: redis.config().node_age,
            reached: self.config.silence_max,
        };
        let count = self.registry.take(others.collect(), ages);
        self.metrics.nodes(count + 1);
        if !self.registry.joined.send_replace(true) {
            tracing::info!(address, node = %own, "this node is known to the others");
        }
        true
    }

    /// Where this node is reached.
    async fn address(&self) -> Option<String> {
        if let Some(address) = &self.config.address {
            return Some(address.clone());
        }
        if !self.listen.ip().is_unspecified() {
            return Some(self.listen.to_string());
        }
        let known = self.registry.own.read();
        let known = known.unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return known;
        }
        let ip = self.store.redis()?.own_address().await?;
        let address = std::net::SocketAddr::new(ip, self.listen.port()).to_string();
        let mut own = self
            .registry
            .own
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *own = Some(address.clone());
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_redis_forgot_is_known_for_its_age_and_reached_for_longer() {
        let registry = Registry::default();
        let age = Duration::from_secs(5);
        let ages = Ages {
            present: age,
            reached: 2 * age,
        };
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let both = || vec![(one, "a:1".to_owned()), (two, "b:2".to_owned())];
        let only = || vec![(one, "a:9".to_owned())];
        assert_eq!(registry.take(both(), ages), 2);
        assert_eq!(registry.take(Vec::new(), ages), 2);
        tokio::time::advance(age / 2).await;
        assert_eq!(registry.take(only(), ages), 2);
        tokio::time::advance(age / 2).await;
        assert_eq!(registry.take(only(), ages), 1);
        assert_eq!(registry.all(), [(one, "a:9".parse().unwrap())]);
        assert_eq!(registry.get(two), Some("b:2".parse().unwrap()));
        tokio::time::advance(age).await;
        assert_eq!(registry.take(only(), ages), 1);
        assert_eq!(registry.get(two), None);
        assert_eq!(registry.take(both(), ages), 2);
        let unreadable = vec![(two, "no address".to_owned())];
        assert_eq!(registry.take(unreadable, ages), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_others_waits_until_they_are_known_or_not_for_ever() {
        let registry = Registry::default();
        let limit = Duration::from_secs(5);
        let begun = Instant::now();
        registry.join(limit).await;
        assert_eq!(begun.elapsed(), limit);
        let told = async { registry.joined.send_replace(true) };
        futures_util::future::join(registry.join(limit), told).await;
        assert_eq!(begun.elapsed(), limit);
        assert!(registry.is_joined());
    }
}

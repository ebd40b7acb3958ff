//! Revocations as events: written to their topic here, and taken in from it.
//!
//! Every node follows the topic, so a revocation is as durable as the store, and reaches as many
//! nodes as events do.

use futures_util::FutureExt as _;

use crate::auth::{Revocation, RevocationError};
use crate::connection::Door;
use crate::drain::Drain;
use crate::hub::{AppendError, AttachError, FeedItem, From, Reader, Receipt};
use crate::topic::{Draft, Event, REVOCATIONS, TopicName};

/// The name of its events.
const NAME: &str = "revoked";

/// Most old revocations that are written again together with a new one.
const RENEWED_MAX: usize = 4;

/// Why a revocation was not made.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// It is not one.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// The store refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Door {
    /// Takes a token, a user or an API key back. When this returns, it holds on this node, and is
    /// as durable as the store.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, revocation: Revocation) -> Result<Receipt, RevokeError> {
        let now = jiff::Timestamp::now().as_second();
        let revocations = self.auth().revocations();
        revocations.check(&revocation, now)?;
        let receipt = self.hub().append(draft(&revocation), None).await?;
        revocations.install(revocation, receipt.seq.0);
        self.renew(receipt.seq.0, now).await;
        Ok(receipt)
    }

    /// Writes those that still hold again, before the log drops them.
    async fn renew(&self, newest: u64, now: i64) {
        let log_max = self.hub().store().log_events_max() as u64;
        let revocations = self.auth().revocations();
        let old = newest.saturating_sub(log_max / 2);
        for revocation in revocations.before(old, now, RENEWED_MAX) {
            match self.hub().append(draft(&revocation), None).await {
                Ok(receipt) => revocations.install(revocation, receipt.seq.0),
                Err(error) => tracing::warn!(%error, "an old revocation could not be renewed"),
            }
        }
    }

    /// Takes in the revocations that are stored, and follows what comes until the drain.
    ///
    /// # Errors
    /// When the topic cannot be followed.
    pub async fn follow_revocations(&self, drain: &Drain) -> Result<(), AttachError> {
        let reader = Reader {
            connection: "gateway".to_owned(),
            principal: None,
            transport: "internal",
        };
        // What another node has written is known before anybody is let in, if the store is there.
        let _prepared = self.hub().prepare(&[(topic(), None)]).await?;
        let mut feed = self.hub().follow(&topic(), From::Oldest, reader)?;
        // What is stored holds before anybody is let in.
        while let Some(item) = feed.next().now_or_never() {
            if let FeedItem::Event { event, .. } = item {
                self.take_in(&event);
            }
        }
        let (door, until) = (self.clone(), drain.clone());
        drain.spawn(async move {
            loop {
                tokio::select! {
                    item = feed.next() => if let FeedItem::Event { event, .. } = item {
                        door.take_in(&event);
                    },
                    () = until.begun() => return,
                }
            }
        });
        Ok(())
    }

    fn take_in(&self, event: &Event) {
        let text = event.payload.json().unwrap_or_default();
        match serde_json::from_str::<Revocation>(text) {
            Ok(revocation) => self.auth().revocations().install(revocation, event.seq.0),
            Err(error) => tracing::warn!(%error, seq = event.seq.0, "this is no revocation"),
        }
    }
}

fn topic() -> TopicName {
    REVOCATIONS.parse().expect("it is a topic")
}

fn draft(revocation: &Revocation) -> Draft {
    let name = NAME.parse().expect("it is a name");
    let data = serde_json::to_string(revocation).expect("a revocation is JSON");
    Draft::json(topic(), name, &data).expect("a revocation is a payload")
}

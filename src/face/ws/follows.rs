//! Follows: the topics of one connection, each read by a cursor of its own.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::auth::Action;
use crate::connection::Admission;
use crate::face::ws::dialect::{Close, Outputs};
use crate::face::ws::{Desk, Judge};
use crate::hub::{AttachError, Feed, FeedItem, From, Hub, Reader};
use crate::limit::Limit;
use crate::topic::TopicName;

type Next = Abortable<Pin<Box<dyn Future<Output = (TopicName, FeedItem, Feed)> + Send>>>;

/// Why a topic is not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The connection follows as many as it may.
    #[error("at most {0} topics may be followed by one connection (`face.ws.subscriptions_max`)")]
    TooMany(usize),
    /// The hub refused.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The client may not follow it; said as if it did not exist.
    #[error("there is no topic `{0}` here that you may follow")]
    Forbidden(TopicName),
}

impl FollowError {
    /// A connection that ends for what its client may not do is no overloaded one.
    pub(super) fn judge(&self, said: &mut Outputs) {
        if let Self::TooMany(_) | Self::Forbidden(_) = self
            && let Some((close @ Close::Overloaded, _)) = &mut said.close
        {
            *close = Close::Policy;
        }
    }

    /// The limit that was reached, if it is one.
    pub(super) const fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooMany(_) => Some(Limit::WsSubscriptions),
            Self::Attach(AttachError::TooManySubscribers) => Some(Limit::TopicSubscribers),
            Self::Attach(AttachError::TooManyTopics(_)) => Some(Limit::Topics),
            Self::Forbidden(_) => None,
        }
    }
}

/// The topics that a connection follows. Nothing is queued here: what is not asked for stays in
/// the topic, and a feed that falls too far behind says so by a gap.
pub(super) struct Follows {
    hub: Hub,
    admission: Arc<Admission>,
    judge: Judge,
    reader: Reader,
    max: usize,
    handles: HashMap<TopicName, AbortHandle>,
    next: FuturesUnordered<Next>,
}

impl Follows {
    pub(super) fn new(desk: &Desk, reader: Reader, max: usize) -> Self {
        Self {
            hub: desk.hub.clone(),
            admission: Arc::clone(&desk.admission),
            judge: desk.judge,
            reader,
            max,
            handles: HashMap::new(),
            next: FuturesUnordered::new(),
        }
    }

    /// Begins to follow; a topic that is followed already goes on as it is.
    pub(super) async fn follow(&mut self, topic: TopicName, from: From) -> Result<(), FollowError> {
        if self.handles.contains_key(&topic) {
            return Ok(());
        }
        if self.handles.len() >= self.max {
            return Err(FollowError::TooMany(self.max));
        }
        if self.judge == Judge::Door && !self.admission.may_surely(Action::Subscribe, &topic).await
        {
            return Err(FollowError::Forbidden(topic));
        }
        let mut feed = self.hub.follow(&topic, from, self.reader.clone())?;
        if self.judge == Judge::Door {
            feed.bind(self.admission.holder(&topic));
        }
        self.read_on(topic, feed);
        Ok(())
    }

    /// Follows no more what the client may not follow any longer. Returns what that was.
    pub(super) async fn check(&mut self) -> Vec<TopicName> {
        if self.judge == Judge::Dialect {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for topic in self.handles.keys().cloned().collect::<Vec<_>>() {
            if !self.admission.may_surely(Action::Subscribe, &topic).await {
                self.leave(&topic);
                lost.push(topic);
            }
        }
        lost
    }

    /// Follows a topic no more.
    pub(super) fn leave(&mut self, topic: &TopicName) {
        if let Some(handle) = self.handles.remove(topic) {
            handle.abort();
        }
    }

    /// The next item of any topic; waits for it. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (TopicName, FeedItem) {
        loop {
            match self.next.next().await {
                Some(Ok((topic, item, feed))) => {
                    self.read_on(topic.clone(), feed);
                    return (topic, item);
                }
                Some(Err(Aborted)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn read_on(&mut self, topic: TopicName, mut feed: Feed) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(topic.clone(), handle);
        let next: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let item = feed.next().await;
            (topic, item, feed)
        });
        self.next.push(Abortable::new(next, registration));
    }
}

impl Follows {
    /// What is there of every topic now, also where nobody was woken yet, at most `max` items of
    /// each. Nothing is followed any more after that.
    pub(super) fn last(&mut self, max: usize) -> Vec<(TopicName, FeedItem)> {
        let mut last = Vec::new();
        self.handles.clear();
        for next in std::mem::take(&mut self.next) {
            let Some(Ok((topic, item, mut feed))) = next.now_or_never() else {
                continue;
            };
            last.push((topic.clone(), item));
            for _ in 1..max {
                let Some(item) = feed.next().now_or_never() else {
                    break;
                };
                last.push((topic.clone(), item));
            }
        }
        last
    }
}

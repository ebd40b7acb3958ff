//! Background imports into a service: each line is sent once, as a document like any other.
//!
//! The service has no way to add a document once only. So a line is sent again only when it surely
//! was not sent (no connection, an open circuit breaker, no place among the calls); a line whose
//! call failed in another way counts as failed, though the service may have it. Called by `import`.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Error, Librarian, Line};
use crate::store::documents::{Fate, Import};
use crate::upstream::library::{self as upstream, Client};

/// Longest pause before what was not sent is tried again; the job is looked at in between.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long an import has been waiting for the service.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<(Instant, Duration)>);

/// What came of sending a line.
enum Sent {
    Settled(Fate),
    /// It was not sent, and why.
    Not(upstream::Error),
    /// No line can be sent: there is no such library.
    Nowhere(upstream::Error),
}

impl Librarian {
    /// Sends the next lines, waiting for the service if they cannot be. Whether there were any.
    ///
    /// # Errors
    /// When the library is gone, the service is away for longer than
    /// `upstream.library.import_wait_max`, or the lines cannot be read.
    pub(super) async fn forward_page(
        &self,
        client: &Client,
        import: &mut Import,
        waiting: &mut Waiting,
    ) -> Result<bool, Error> {
        let (documents, config) = (&self.0.documents, client.config());
        let limit = config.import_concurrency_max.max(1);
        let lines = documents.take_out(import.job.clone(), limit).await?;
        if lines.is_empty() {
            return Ok(false);
        }
        let so_far = &*import;
        let sending = lines.iter().map(|(number, line)| async move {
            let request = format!("{}:{number}", so_far.job);
            self.forward(so_far, line, &request).await
        });
        let (mut fates, mut not_sent, mut nowhere) = (Vec::new(), None, None);
        for ((number, _), sent) in lines.iter().zip(join_all(sending).await) {
            let fate = match sent {
                Sent::Settled(fate) => fate,
                Sent::Not(error) => {
                    not_sent = Some(error);
                    Fate::Waits
                }
                Sent::Nowhere(error) => {
                    nowhere = Some(error);
                    Fate::Waits
                }
            };
            fates.push((*number, fate));
        }
        match documents.settle(import.job.clone(), fates).await? {
            Some(next) => *import = next,
            None => return Ok(false),
        }
        if let Some(error) = nowhere {
            return Err(error.into());
        }
        let Some(error) = not_sent else {
            waiting.0 = None;
            return Ok(true);
        };
        let (since, pause) = waiting
            .0
            .get_or_insert_with(|| (Instant::now(), config.retry_pause));
        if since.elapsed() >= config.import_wait_max {
            return Err(error.into());
        }
        let pause_now = (*pause).min(PAUSE_MAX);
        *pause = pause_now * 2;
        tokio::select! {
            () = tokio::time::sleep(pause_now) => {}
            () = self.0.drain.begun() => {}
        }
        Ok(true)
    }

    /// Sends a line.
    async fn forward(&self, import: &Import, line: &str, request: &str) -> Sent {
        let Ok(new) = Line::parse(line) else {
            return Sent::Settled(Fate::Failed);
        };
        match self.add(import.library, new, request).await {
            Ok(_) => Sent::Settled(Fate::Made),
            Err(Error::Upstream(error)) => match error {
                upstream::Error::Unreachable
                | upstream::Error::Resting { .. }
                | upstream::Error::Busy => Sent::Not(error),
                upstream::Error::NotFound(_) => Sent::Nowhere(error),
                upstream::Error::Refused { .. }
                | upstream::Error::Failed { .. }
                | upstream::Error::TimedOut(_)
                | upstream::Error::Broken
                | upstream::Error::Answer(_) => {
                    tracing::warn!(%error, job = import.job, request, "a line is not imported");
                    Sent::Settled(Fate::Failed)
                }
            },
            Err(Error::Invalid(_) | Error::Documents(_)) => Sent::Settled(Fate::Failed),
        }
    }
}

//! Traces: the steps that were recorded, on their way to the collector.

use tokio::sync::mpsc::Receiver;
use tracing::warn;

use crate::app::config::Trace;
use crate::drain::Drain;
use crate::origin::{self, Span};
use crate::upstream::collector::Collector;

/// Most steps of one request to the collector.
const BATCH_MAX: usize = 512;

/// Records steps and sends them until the doors close, if there is a collector.
///
/// # Errors
/// When its address cannot be used.
pub(in crate::app) fn start(config: &Trace, drain: &Drain) -> anyhow::Result<()> {
    let Some(endpoint) = &config.endpoint else {
        return Ok(());
    };
    let collector = Collector::new(endpoint, config.timeout)?;
    let Some(mut spans) = origin::start(config.spans_max, config.ratio) else {
        return Ok(());
    };
    let (until, interval) = (drain.clone(), config.interval);
    drain.spawn(async move {
        let mut lost = 0;
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = until.doors_closed() => true,
            };
            send(&collector, &mut spans).await;
            let now_lost = origin::spans().map_or(0, origin::Spans::lost);
            if now_lost > lost {
                warn!(
                    steps = now_lost - lost,
                    "steps of traces are left out: `trace.spans_max` was reached"
                );
                lost = now_lost;
            }
            if is_last {
                return;
            }
        }
    });
    Ok(())
}

async fn send(collector: &Collector, spans: &mut Receiver<Span>) {
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH_MAX
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        let steps = batch.len();
        if steps == 0 {
            return;
        }
        if let Err(error) = collector.send(batch).await {
            warn!(%error, steps, "steps of traces are lost");
            return;
        }
    }
}

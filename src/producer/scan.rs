//! Scans: a directory is walked, and the topic `scan:{id}` tells how far.
//!
//! A walk is a thread of its own; a task beside it appends to the topic, so a slow store never
//! holds the walk up and the topic has at most one `progress` an interval. Whoever follows the topic
//! sees the same scan. The list of files is too large for an event: it is kept here, bounded in
//! bytes and age, and `completed` says that it can be had. No files are ever opened or read.

mod config;
mod place;
mod report;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use self::config::Config;
pub use self::place::PlaceError;
pub use self::report::Report;
pub use self::walk::Progress;

use self::report::Bounds;
use self::walk::{Depth, Told};
use crate::drain::Drain;
use crate::hub::Hub;
use crate::topic::{Class, Draft, TopicName};

/// A handle to the scans of this node. Cheap to clone.
#[derive(Clone)]
pub struct Scans(Arc<Shared>);

struct Shared {
    config: Config,
    hub: Hub,
    drain: Drain,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: HashMap<TopicName, Arc<Running>>,
    /// Reports of scans that have ended, oldest first.
    ended: VecDeque<Ended>,
}

struct Running {
    path: String,
    told: Told,
}

struct Ended {
    topic: TopicName,
    report: Arc<Report>,
    at: Instant,
}

/// What is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The directory.
    pub path: String,
    /// Whether directories below it are scanned as well.
    pub is_recursive: bool,
}

/// What is known of a scan.
#[derive(Debug, Clone)]
pub enum View {
    /// Nothing.
    Unknown,
    /// It runs.
    Running {
        /// The directory.
        path: String,
        /// How far it is.
        progress: Progress,
    },
    /// It ended, and this is what it found.
    Completed(Arc<Report>),
}

/// Why a scan does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// One with this id runs.
    #[error("a scan with this id is running: wait for it, or cancel it")]
    Busy,
    /// There are too many.
    #[error("{0} scans are running here already (`producer.scan.scans_max`): try again later")]
    TooMany(usize),
    /// The node is draining.
    #[error("the node is shutting down: come back")]
    Draining,
    /// The directory cannot be scanned.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// How a walk ended.
type Outcome = Result<Option<Report>, std::io::Error>;

impl Scans {
    /// Scans that tell of themselves through a hub.
    pub fn new(config: Config, hub: Hub, drain: Drain) -> Self {
        Self(Arc::new(Shared {
            config,
            hub,
            drain,
            state: Mutex::default(),
        }))
    }

    /// Begins a scan. When this returns it is told in the topic, or will be.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn start(&self, topic: TopicName, order: Order) -> Result<(), ScanError> {
        let (answer, opened) = oneshot::channel();
        let running = self.take_place(&topic, &order)?;
        let (roots, path) = (self.0.config.roots.clone(), order.path.clone());
        self.0.drain.spawn_blocking(move || {
            // Whoever asked may have gone.
            let _ = answer.send(place::open(&roots, &path));
        });
        let scans = self.clone();
        let (told, begun) = oneshot::channel();
        // A task of its own: who asked may leave before the directory is open.
        self.0.drain.spawn(async move {
            let opened = opened.await.unwrap_or(Err(PlaceError::NotFound));
            let dir = match opened {
                Ok(dir) => dir,
                Err(error) => {
                    scans.state().running.remove(&topic);
                    let _ = told.send(Err(ScanError::Place(error)));
                    return;
                }
            };
            let depth = if order.is_recursive {
                Depth::Levels(scans.0.config.depth_max)
            } else {
                Depth::Flat
            };
            let _ = told.send(Ok(()));
            scans.run(topic, &running, (dir, depth)).await;
        });
        begun.await.unwrap_or(Err(ScanError::Draining))
    }

    /// Tells a scan to stop. Returns whether it was running; then the topic tells of its end.
    pub fn cancel(&self, topic: &TopicName) -> bool {
        let running = self.state().running.get(topic).cloned();
        running.is_some_and(|running| {
            running.told.stop();
            true
        })
    }

    /// What is known of a scan.
    pub fn view(&self, topic: &TopicName) -> View {
        let state = self.state();
        if let Some(running) = state.running.get(topic) {
            return View::Running {
                path: running.path.clone(),
                progress: running.told.progress(),
            };
        }
        let ended = state.ended.iter().rev().find(|ended| ended.topic == *topic);
        ended.map_or(View::Unknown, |ended| {
            View::Completed(Arc::clone(&ended.report))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of scans panics")
    }

    fn take_place(&self, topic: &TopicName, order: &Order) -> Result<Arc<Running>, ScanError> {
        if self.0.drain.is_draining() {
            return Err(ScanError::Draining);
        }
        let mut state = self.state();
        if state.running.contains_key(topic) {
            return Err(ScanError::Busy);
        }
        let max = self.0.config.scans_max;
        if state.running.len() >= max {
            return Err(ScanError::TooMany(max));
        }
        let running = Arc::new(Running {
            path: order.path.clone(),
            told: Told::default(),
        });
        state.running.insert(topic.clone(), Arc::clone(&running));
        Ok(running)
    }

    /// Sees a scan through: tells its beginning, its progress and its end.
    async fn run(
        &self,
        topic: TopicName,
        running: &Arc<Running>,
        (dir, depth): (cap_std::fs::Dir, Depth),
    ) {
        self.tell(&topic, "started", None, json!({ "path": running.path }))
            .await;
        let (done, mut outcome) = oneshot::channel::<Outcome>();
        let config = &self.0.config;
        let bounds = Bounds {
            entries: config.entries_max,
            bytes: config.result_bytes_max.bytes(),
            warnings: config.warnings_max,
        };
        let walked = Arc::clone(running);
        self.0.drain.spawn_blocking(move || {
            let result = walk::walk(dir, &walked.path, depth, bounds, &walked.told);
            let _ = done.send(result);
        });
        let mut before = Progress::default();
        let mut watched_at = Instant::now();
        let mut interval = tokio::time::interval(config.progress_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut outcome => break outcome,
                () = self.0.drain.begun(), if !running.told.is_stopped() => running.told.stop(),
                _ = interval.tick() => {}
            }
            let is_watched = self
                .0
                .hub
                .topic(&topic)
                .is_some_and(|topic| topic.subscribers() > 0);
            if is_watched {
                watched_at = Instant::now();
            } else if watched_at.elapsed() >= config.grace {
                running.told.stop();
            }
            let progress = running.told.progress();
            if progress != before {
                self.tell(&topic, "progress", None, fields(&progress)).await;
                before = progress;
            }
        };
        self.end(topic, outcome.unwrap_or(Ok(None)), running).await;
    }

    async fn end(&self, topic: TopicName, outcome: Outcome, running: &Running) {
        let (name, data) = match outcome {
            Ok(Some(report)) => {
                let progress = running.told.progress();
                let data = json!({
                    "count": report.count,
                    "total_size": report.total_size,
                    "warnings": report.warnings,
                    "scanned": progress.scanned,
                });
                self.keep(&topic, report);
                ("completed", data)
            }
            Ok(None) => {
                self.state().running.remove(&topic);
                ("cancelled", json!({ "path": running.path }))
            }
            Err(error) => {
                self.state().running.remove(&topic);
                let message = format!("Failed to scan directory: {}", error.kind());
                ("error", json!({ "message": message, "error": message }))
            }
        };
        self.tell(&topic, name, Some(Class::Terminal), data).await;
    }

    /// Keeps a report; the oldest make room.
    fn keep(&self, topic: &TopicName, report: Report) {
        let config = &self.0.config;
        let (age_max, max) = (config.result_age_max, config.results_bytes_max.bytes());
        let mut state = self.state();
        state.running.remove(topic);
        state
            .ended
            .retain(|ended| ended.topic != *topic && ended.at.elapsed() < age_max);
        state.ended.push_back(Ended {
            topic: topic.clone(),
            report: Arc::new(report),
            at: Instant::now(),
        });
        let bytes = |state: &State| -> usize {
            state
                .ended
                .iter()
                .map(|ended| ended.report.footprint_bytes())
                .sum()
        };
        while state.ended.len() > 1 && bytes(&state) > max {
            state.ended.pop_front();
        }
    }

    async fn tell(&self, topic: &TopicName, name: &str, class: Option<Class>, data: Value) {
        let name = name.parse().expect("a name of an event");
        let draft = Draft::json(topic.clone(), name, &data.to_string());
        let draft = draft.expect("a payload of ours").with_class(class);
        if let Err(error) = self.0.hub.append(draft, None).await {
            tracing::warn!(%topic, %error, "a scan could not tell how far it is");
        }
    }
}

/// The payload of a `progress`, with the names that the clients of the React hook read as well.
fn fields(progress: &Progress) -> Value {
    let Progress {
        scanned,
        total,
        current_path,
    } = progress;
    json!({
        "scanned": scanned,
        "total": total,
        "current_path": current_path,
        "files_scanned": scanned,
        "total_files": total,
        "percentage": percentage(*scanned, *total),
    })
}

fn percentage(scanned: u64, total: u64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    (scanned as f64 / total as f64 * 1000.0).round() / 10.0
}

impl Progress {
    /// The payload of a `progress` event.
    pub fn to_value(&self) -> Value {
        fields(self)
    }
}

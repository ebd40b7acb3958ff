//! The threads that touch the file: one that writes, a few that read, each behind a bounded queue.
//!
//! The writer commits as many jobs as wait in one transaction, each under a savepoint of its own,
//! and answers each after the commit. A reader takes one job at a time. In memory there is one
//! connection, which readers and writer take in turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Error;

/// Most jobs of one commit.
const BATCH: usize = 64;

/// Told after the commit.
type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Something to write, or the news that there is no transaction to do it in; and where is noted why
/// the whole transaction was given up.
type Write = Box<dyn FnOnce(Result<&Connection, Error>, &mut Result<(), Error>) -> Reply + Send>;

/// Something to read.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A connection that several threads may hold, one at a time.
pub(super) type Shared = Arc<Mutex<Connection>>;

/// The queues, and the threads behind them.
#[derive(Debug)]
pub(super) struct Lanes {
    writes: Option<mpsc::Sender<Write>>,
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) writes_max: usize,
    pub(super) reads_max: usize,
}

impl Lanes {
    /// Starts the threads.
    pub(super) fn start(
        writer: Shared,
        readers: Vec<Shared>,
        bounds: Bounds,
    ) -> std::io::Result<Self> {
        let (writes, queue) = mpsc::channel(bounds.writes_max);
        let mut threads = vec![thread("documents-writer".to_owned(), move || {
            write_until_closed(&writer, queue);
        })?];
        let (reads, queue) = mpsc::channel(bounds.reads_max);
        let queue = Arc::new(Mutex::new(queue));
        for (number, reader) in readers.into_iter().enumerate() {
            let queue = Arc::clone(&queue);
            threads.push(thread(format!("documents-reader-{number}"), move || {
                read_until_closed(&reader, &queue);
            })?);
        }
        Ok(Self {
            writes: Some(writes),
            reads: Some(reads),
            threads,
        })
    }

    /// Writes; waits for a place in the queue, then for the commit. Dropping the future after that
    /// leaves it open whether it was written.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = oneshot::channel();
        let job: Write = Box::new(move |connection, given_up| {
            let done = connection.and_then(|connection| in_savepoint(connection, work, given_up));
            Box::new(move |committed| drop(tell.send(committed.and(done))))
        });
        let writes = self.writes.as_ref().ok_or_else(Error::closed)?;
        writes.send(job).await.map_err(|_| Error::closed())?;
        told.await.map_err(|_| Error::closed())?
    }

    /// Reads; refused when too many wait already.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = oneshot::channel::<Result<T, Error>>();
        let job: Read = Box::new(move |connection| {
            // Nobody waits for the answer any more.
            if !tell.is_closed() {
                drop(tell.send(work(connection)));
            }
        });
        let reads = self.reads.as_ref().ok_or_else(Error::closed)?;
        reads.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::closed(),
        })?;
        told.await.map_err(|_| Error::closed())?
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            // The last handle may be one that a job held.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

fn write_until_closed(writer: &Shared, mut queue: mpsc::Receiver<Write>) {
    while let Some(first) = queue.blocking_recv() {
        let connection = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begun = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(Error::from);
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            let transaction = begun.clone().map(|()| &*connection);
            replies.push(job(transaction, &mut begun));
            if replies.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        let committed = begun.and_then(|()| {
            connection.execute_batch("COMMIT").map_err(|error| {
                let _ = connection.execute_batch("ROLLBACK");
                Error::from(error)
            })
        });
        drop(connection);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
    given_up: &mut Result<(), Error>,
) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT job")?;
    let done = work(connection);
    if let Err(error) = &done {
        // A full disk may end the whole transaction, with what others wrote in it.
        if connection.is_autocommit() {
            *given_up = Err(error.clone());
            return done;
        }
        connection.execute_batch("ROLLBACK TO job")?;
    }
    connection.execute_batch("RELEASE job")?;
    done
}

fn read_until_closed(reader: &Shared, queue: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(job) = next else { return };
        job(&reader.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

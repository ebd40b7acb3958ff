//! A topic, followed: server-sent events that go on after a lost connection where they stopped.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::Gateway;
use super::error::Error;
use super::sse::{Parser, SseEvent};

/// A live gateway sends a comment every 15 s; three missed ones are a lost connection.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The first pause before connecting again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause before connecting again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Attempts in a row that may fail.
const ATTEMPTS_MAX: u32 = 6;

/// What following a topic brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// An event.
    Event {
        /// Its cursor.
        cursor: Option<String>,
        /// Its name.
        name: String,
        /// Its payload.
        data: Value,
    },
    /// Events are gone; what is left follows as a snapshot.
    Gap(Value),
    /// The connection is lost, or could not be made, and is tried again.
    Lost(String),
}

/// A topic that is being followed.
#[derive(Debug)]
pub struct Follow {
    gateway: Gateway,
    topic: String,
    cursor: Option<String>,
    stream: Option<Stream>,
    ready: VecDeque<SseEvent>,
    attempts: u32,
}

#[derive(Debug)]
struct Stream {
    response: Response,
    parser: Parser,
}

impl Follow {
    pub(super) const fn new(gateway: Gateway, topic: String, since: Option<String>) -> Self {
        Self {
            gateway,
            topic,
            cursor: since,
            stream: None,
            ready: VecDeque::new(),
            attempts: 0,
        }
    }

    /// Where it has got to.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next event or incident. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the gateway refuses the topic or the cursor, or cannot be reached several times in a
    /// row.
    pub async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(self.told(event));
            }
            match self.advance().await {
                Ok(()) => {}
                Err(error) if error.is_transient() && self.attempts < ATTEMPTS_MAX => {
                    let was_live = self.stream.take().is_some();
                    self.attempts += 1;
                    // Whoever waits is told at once, and not of each attempt.
                    if was_live || self.attempts == 1 {
                        return Ok(Followed::Lost(error.to_string()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Connects if need be, and reads one piece.
    async fn advance(&mut self) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else {
            self.stream = Some(self.connect().await?);
            return Ok(());
        };
        let piece = timeout(SILENCE_MAX, stream.response.chunk())
            .await
            .map_err(|_| Error::Silent(SILENCE_MAX))?
            .map_err(|source| self.gateway.unreachable(source))?
            .ok_or(Error::Ended)?;
        self.attempts = 0;
        self.ready.extend(stream.parser.push(&piece)?);
        Ok(())
    }

    async fn connect(&self) -> Result<Stream, Error> {
        if self.attempts > 0 {
            sleep((PAUSE_MIN * (1 << (self.attempts - 1).min(8))).min(PAUSE_MAX)).await;
        }
        let mut request = self
            .gateway
            .open(Method::GET, &["v1", "topics", &self.topic, "events"])
            .header("Accept", "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("Last-Event-ID", cursor);
        }
        let response = timeout(super::CALL_TIMEOUT, self.gateway.send(request))
            .await
            .map_err(|_| Error::Silent(super::CALL_TIMEOUT))??;
        Ok(Stream {
            response,
            parser: Parser::default(),
        })
    }

    fn told(&mut self, event: SseEvent) -> Followed {
        let data = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
        if event.name == "gap" {
            return Followed::Gap(data);
        }
        if event.id.is_some() {
            self.cursor.clone_from(&event.id);
        }
        Followed::Event {
            cursor: event.id,
            name: event.name,
            data,
        }
    }
}

//! The body of a request about a job: checked where the gateway reads it, passed on as it is where
//! it does not.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::face::http;
use crate::face::http::extract::{self, Media, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::quantity::duration;
use crate::topic::{JobStatus, LEASE_MAX, LEASE_MIN};

/// The fields of a body; an empty body has none.
pub(super) struct Fields {
    /// Which attempt the worker believes to be at.
    pub(super) attempt: Option<NonZeroU32>,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What is wrong with it, by field.
    pub(super) async fn of(
        state: &http::State,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, Refusal> {
        let body = extract::body(body, state.config().body_bytes_max.bytes()).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self {
                attempt: None,
                map: Map::new(),
            });
        }
        if Media::of(headers)? != Media::Json {
            return Err(Media::refused("application/json"));
        }
        let mut map: Map<String, Value> = parse(&body)?;
        let attempt = take_attempt(&mut map)?;
        check(&map)?;
        if let Some(address) = map.get("webhook").and_then(Value::as_str) {
            let told = state.webhooks().check(address);
            told.map_err(|why| Refusal::new(Code::Shape, format!("`webhook`: {why}")))?;
        }
        if let Some(lease) = map.get("lease").filter(|lease| !lease.is_null()) {
            let lease_ms = lease_ms(lease)?;
            map.insert("lease_ms".to_owned(), lease_ms.into());
        }
        Ok(Self { attempt, map })
    }

    /// Takes the id out, if there is one.
    ///
    /// # Errors
    /// When it is no text.
    pub(super) fn take_id(&mut self) -> Result<Option<String>, Refusal> {
        let job_id = self.map.remove("job_id");
        match self.map.remove("id").or(job_id) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(id)) => Ok(Some(id)),
            Some(_) => Err(wrong("id", "a string")),
        }
    }

    /// The payload of the event.
    pub(super) fn into_data(mut self, status: Option<JobStatus>) -> String {
        if let Some(status) = status {
            self.map
                .entry("status")
                .or_insert_with(|| status.as_str().into());
        }
        Value::Object(self.map).to_string()
    }
}

fn take_attempt(map: &mut Map<String, Value>) -> Result<Option<NonZeroU32>, Refusal> {
    match map.remove("attempt") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value)
            .map(Some)
            .map_err(|_| wrong("attempt", "a whole number from 1")),
    }
}

fn check(map: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let (is_right, what) = match name.as_str() {
            "name" | "type" | "message" | "reason" | "webhook" => (value.is_string(), "a string"),
            "metadata" => (value.is_object(), "an object"),
            "progress" => {
                let percent = value.as_f64();
                let fits = percent.is_some_and(|percent| (0.0..=100.0).contains(&percent));
                (fits, "a number from 0 to 100")
            }
            "lease_ms" => (false, "left out: say `lease`, such as \"60s\""),
            _ => (true, ""),
        };
        if !is_right {
            return Err(wrong(name, what));
        }
    }
    Ok(())
}

fn lease_ms(lease: &Value) -> Result<u64, Refusal> {
    let text = lease
        .as_str()
        .ok_or_else(|| wrong("lease", "a duration such as \"60s\""))?;
    let lease = duration::parse(text)
        .map_err(|error| Refusal::new(Code::Shape, format!("`lease`: {error}")))?;
    if !(LEASE_MIN..=LEASE_MAX).contains(&lease) {
        return Err(wrong("lease", "from 100ms to 30d"));
    }
    Ok(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))
}

fn wrong(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::Shape, format!("`{field}` must be {what}"))
}

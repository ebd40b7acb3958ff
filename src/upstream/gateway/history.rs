//! What the log of a topic holds, page by page.

use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use super::{CALL_TIMEOUT, Gateway};

/// Entries of one page.
const PAGE: &str = "1000";

/// A page of a topic's log.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// The entries as envelopes, in order.
    pub events: Vec<Entry>,
    /// Where the next page begins; nothing after the last.
    pub cursor: Option<String>,
}

/// An entry of a topic's log.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// The incarnation of the log.
    pub epoch: String,
    /// Its place there.
    pub seq: u64,
    /// The name of the event.
    pub name: String,
    /// The payload.
    pub data: Value,
}

impl Gateway {
    /// A page of a topic's log; from the oldest entry if there is no cursor.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn history(&self, topic: &str, since: Option<&str>) -> Result<Page, Error> {
        let mut url = self.url(&["v1", "topics", topic, "events"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", PAGE);
            if let Some(cursor) = since {
                query.append_pair("since", cursor);
            }
        }
        let request = self.showing(self.http.get(url)).timeout(CALL_TIMEOUT);
        self.read(self.send(request).await?).await
    }
}

//! Engine.IO over polling, as far as a load generator needs it.

use reqwest::Method;

use super::Gateway;
use super::error::Error;

/// The path of Socket.IO.
const PATH: [&str; 2] = ["socket.io", ""];

/// What separates the packets of one body.
pub const SEPARATOR: char = '\u{1e}';

impl Gateway {
    /// Begins a session, or fetches what waits for it. Returns the body: packets, separated.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn poll(&self, sid: Option<&str>) -> Result<String, Error> {
        let response = self.send(self.http.get(self.engine(sid))).await?;
        response
            .text()
            .await
            .map_err(|source| self.unreachable(source))
    }

    /// Sends packets.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn push(&self, sid: &str, packets: &str) -> Result<(), Error> {
        let request = self.http.request(Method::POST, self.engine(Some(sid)));
        let request = request.header("Content-Type", "text/plain;charset=UTF-8");
        self.send(request.body(packets.to_owned()))
            .await
            .map(|_| ())
    }

    fn engine(&self, sid: Option<&str>) -> reqwest::Url {
        let mut url = self.url(&PATH);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("EIO", "4")
            .append_pair("transport", "polling");
        if let Some(sid) = sid {
            query.append_pair("sid", sid);
        }
        drop(query);
        url
    }
}

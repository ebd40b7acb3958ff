//! Engine.IO over polling, as far as a load generator needs it.

use reqwest::Method;

use super::Gateway;
use super::error::Error;

/// The path of Socket.IO.
const PATH: [&str; 2] = ["socket.io", ""];

/// What separates the packets of one body.
pub const SEPARATOR: char = '\u{1e}';

/// Whether a client wants its sessions recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// As the handshake of a stock client says it.
    Stock,
    /// Never: no offsets behind its events.
    Off,
}

impl Gateway {
    /// Begins a session. Returns the body: the handshake.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn open_poll(&self, recovery: Recovery) -> Result<String, Error> {
        let mut url = self.engine(None);
        if recovery == Recovery::Off {
            url.query_pairs_mut().append_pair("recovery", "0");
        }
        self.text(url).await
    }

    /// Fetches what waits for a session. Returns the body: packets, separated.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn poll(&self, sid: &str) -> Result<String, Error> {
        self.text(self.engine(Some(sid))).await
    }

    async fn text(&self, url: reqwest::Url) -> Result<String, Error> {
        let response = self.send(self.showing(self.http.get(url))).await?;
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
        let request = self.showing(self.http.request(Method::POST, self.engine(Some(sid))));
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

//! Why a call to a gateway failed.

use serde_json::Value;

/// Why a call to a gateway failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("`{0}` is no address of a gateway: write one such as `http://127.0.0.1:3000`")]
    Address(String),
    /// No client could be made.
    #[error("cannot make an HTTP client")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
    /// Nothing answers there, or it stopped in the middle.
    #[error("cannot reach the gateway at `{base}`: is it running? (`tidings serve` starts one)")]
    Unreachable {
        /// The address.
        base: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The gateway answered that it will not.
    #[error("the gateway refused with {status}{}: {what}", code.as_ref().map(|code| format!(" `{code}`")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code of the problem.
        code: Option<String>,
        /// What it said.
        what: String,
        /// The id to look for in its log.
        request_id: Option<String>,
    },
    /// The answer is not what a gateway sends.
    #[error("the answer is not what a gateway sends: is something else at that address?")]
    Body {
        /// Why.
        source: serde_json::Error,
    },
    /// An event of a stream is larger than is taken.
    #[error("an event of the stream is larger than {0} bytes")]
    TooLarge(usize),
    /// Nothing came for longer than a live gateway is silent.
    #[error("nothing came from the gateway for {} s", .0.as_secs())]
    Silent(std::time::Duration),
    /// The gateway ended the stream.
    #[error("the gateway ended the stream")]
    Ended,
}

impl Error {
    /// Reads a refusal: problem+json, the wizard's `{"error"}`, or anything else.
    pub(super) fn refused(status: u16, body: &str) -> Self {
        let problem: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        let what = text("detail")
            .or_else(|| text("error"))
            .or_else(|| text("title"));
        let plain = || {
            body.lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect::<String>()
        };
        let mut what = what.unwrap_or_else(plain);
        if what.is_empty() {
            "no reason given".clone_into(&mut what);
        }
        Self::Refused {
            status,
            code: text("code"),
            what,
            request_id: text("request_id"),
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent(_) | Self::Ended => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Address(_) | Self::Client { .. } | Self::Body { .. } | Self::TooLarge(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_their_own_words() {
        for (body, expected) in [
            (
                r#"{"title":"Bad","detail":"no such topic","code":"topic"}"#,
                "404 `topic`: no such topic",
            ),
            (r#"{"error":"Session not found"}"#, "404: Session not found"),
            (r#"{"title":"Not Found"}"#, "404: Not Found"),
            ("plain words\nand more", "404: plain words"),
            ("", "404: no reason given"),
        ] {
            let error = Error::refused(404, body).to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn what_the_gateway_will_not_take_is_not_tried_again() {
        assert!(!Error::refused(422, "").is_transient());
        assert!(Error::refused(503, "").is_transient());
        assert!(Error::Ended.is_transient());
    }
}

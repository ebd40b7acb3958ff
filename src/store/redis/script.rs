//! Scripts: run by their digest, sent whole to a server that does not know them.

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike as _, LuaInterface as _};
use fred::types::Value;
use fred::types::config::Options;

/// A script and its digest.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: &'static str,
    text: &'static str,
    digest: String,
}

/// Every script there is.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) read: Script,
    pub(super) reset: Script,
    pub(super) touch: Script,
    pub(super) introduce: Script,
    pub(super) hear: Script,
    pub(super) lease: Script,
    pub(super) renew: Script,
    pub(super) forget: Script,
    pub(super) keep_read: Script,
    pub(super) claim_read: Script,
    pub(super) tally: Script,
    pub(super) ask: Script,
    pub(super) answer: Script,
    pub(super) take: Script,
    pub(super) settle: Script,
    pub(super) beat: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new("append", include_str!("append.lua")),
            read: Script::new("read", include_str!("read.lua")),
            reset: Script::new("reset", include_str!("reset.lua")),
            touch: Script::new("touch", include_str!("touch.lua")),
            introduce: Script::new("introduce", include_str!("introduce.lua")),
            hear: Script::new("hear", include_str!("hear.lua")),
            lease: Script::new("lease", include_str!("lease.lua")),
            renew: Script::new("renew", include_str!("renew.lua")),
            forget: Script::new("forget", include_str!("forget.lua")),
            tally: Script::new("tally", include_str!("tally.lua")),
            ask: Script::new("ask", include_str!("ask.lua")),
            answer: Script::new("answer", include_str!("answer.lua")),
            take: Script::new("take", include_str!("take.lua")),
            settle: Script::new("settle", include_str!("settle.lua")),
            beat: Script::new("beat", include_str!("beat.lua")),
            keep_read: Script::new("keep_read", include_str!("keep_read.lua")),
            claim_read: Script::new("claim_read", include_str!("claim_read.lua")),
        }
    }
}

impl Script {
    fn new(name: &'static str, text: &'static str) -> Self {
        let digest = fred::util::sha1_hash(text);
        Self { name, text, digest }
    }

    /// Runs it. It is sent once: when the connection breaks meanwhile, nobody knows.
    pub(super) async fn run(
        &self,
        client: &Client,
        options: &Options,
        keys: Vec<String>,
        args: Vec<Bytes>,
    ) -> Result<Vec<Value>, Error> {
        let client = client.with_options(options);
        let digest = self.digest.clone();
        // The futures of commands are many KiB, and would be moved with those of all who may wait
        // for Redis, even where there is none.
        let sent = Box::pin(client.evalsha(digest, keys.clone(), args.clone()));
        let done: Result<Value, Error> = sent.await;
        let value = match done {
            Err(error) if is_unknown(&error) => {
                Box::pin(client.eval(self.text, keys, args)).await?
            }
            done => done?,
        };
        Ok(value.into_array())
    }
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unknown | ErrorKind::InvalidCommand | ErrorKind::NotFound
    ) && error.details().starts_with("NOSCRIPT")
}

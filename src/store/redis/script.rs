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
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            read: Script::new(include_str!("read.lua")),
            reset: Script::new(include_str!("reset.lua")),
            touch: Script::new(include_str!("touch.lua")),
            introduce: Script::new(include_str!("introduce.lua")),
            hear: Script::new(include_str!("hear.lua")),
            lease: Script::new(include_str!("lease.lua")),
            renew: Script::new(include_str!("renew.lua")),
            forget: Script::new(include_str!("forget.lua")),
            keep_read: Script::new(include_str!("keep_read.lua")),
            claim_read: Script::new(include_str!("claim_read.lua")),
        }
    }
}

impl Script {
    fn new(text: &'static str) -> Self {
        let digest = fred::util::sha1_hash(text);
        Self { text, digest }
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
        let done: Result<Value, Error> = client.evalsha(digest, keys.clone(), args.clone()).await;
        let value = match done {
            Err(error) if is_unknown(&error) => client.eval(self.text, keys, args).await?,
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

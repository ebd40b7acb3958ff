//! Keys that change while the process runs: those of an issuer, and the file of API keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tracing::{info, warn};

use crate::app::config::Config;
use crate::auth::{ApiKey, Auth};
use crate::drain::Drain;
use crate::upstream::document::Source;

/// How long the start waits for the issuer's keys.
const FIRST_FETCH_MAX: Duration = Duration::from_secs(5);

/// How often the file of API keys is looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// Largest file of API keys.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The copy of the issuer's keys in the data directory.
const COPY: &str = "jwks.json";

/// The file of API keys in the data directory.
pub(super) const API_KEYS: &str = "keys.toml";

/// Where API keys are kept, if they are in a file.
pub(super) fn file_of(config: &Config) -> Option<PathBuf> {
    let in_data_dir = || Some(config.store.data_dir.as_ref()?.join(API_KEYS));
    config.auth.keys_file.clone().or_else(in_data_dir)
}

/// Reads all keys, and reads them again when they change, until the drain.
///
/// # Errors
/// When the file of API keys is there and cannot be understood.
pub(super) async fn keep(config: &Config, auth: &Auth, drain: &Drain) -> anyhow::Result<()> {
    if let Some(path) = file_of(config) {
        let mut file = File {
            path,
            seen: None,
            auth: auth.clone(),
        };
        file.read_if_changed()?;
        if auth.needs_credential() {
            let until = drain.clone();
            drain.spawn(async move {
                tokio::select! {
                    () = file.watch() => {}
                    () = until.begun() => {}
                }
            });
        }
    }
    let Some(url) = &config.auth.jwt.jwks_url else {
        return Ok(());
    };
    let issuer = Issuer {
        source: Source::new(url)?,
        copy: config.store.data_dir.as_ref().map(|dir| dir.join(COPY)),
        auth: auth.clone(),
        refresh_interval: config.auth.jwt.jwks_refresh_interval,
        retry_interval: config.auth.jwt.jwks_retry_interval,
    };
    issuer.begin().await;
    let until = drain.clone();
    drain.spawn(async move {
        tokio::select! {
            () = issuer.keep_fresh() => {}
            () = until.begun() => {}
        }
    });
    Ok(())
}

/// The file of API keys.
struct File {
    path: PathBuf,
    seen: Option<SystemTime>,
    auth: Auth,
}

impl File {
    async fn watch(mut self) {
        loop {
            tokio::time::sleep(FILE_INTERVAL).await;
            if let Err(error) = self.read_if_changed() {
                warn!(
                    error = format!("{error:#}"),
                    "the API keys stay as they were"
                );
            }
        }
    }

    fn read_if_changed(&mut self) -> anyhow::Result<()> {
        let found = fs::metadata(&self.path).ok();
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        if changed == self.seen {
            return Ok(());
        }
        // What cannot be read now is not tried again before it changes.
        self.seen = changed;
        let keys = match found {
            None => Vec::new(),
            Some(found) => {
                let shown = self.path.display();
                anyhow::ensure!(found.len() <= FILE_BYTES_MAX, "`{shown}` is too large");
                let text = fs::read_to_string(&self.path)
                    .with_context(|| format!("`{shown}` cannot be read"))?;
                ApiKey::parse(&text).with_context(|| format!("`{shown}`"))?
            }
        };
        let count = keys.len();
        self.auth.install_api_keys(keys)?;
        info!(count, "API keys read");
        Ok(())
    }
}

/// The keys of an issuer.
struct Issuer {
    source: Source,
    copy: Option<PathBuf>,
    auth: Auth,
    refresh_interval: Duration,
    retry_interval: Duration,
}

impl Issuer {
    /// Fetches the keys; while the issuer is away those count that could be fetched last.
    async fn begin(&self) {
        let fetched = tokio::time::timeout(FIRST_FETCH_MAX, self.fetch()).await;
        if fetched.is_ok_and(|is_fetched| is_fetched) {
            return;
        }
        let copy = self
            .copy
            .as_deref()
            .and_then(|copy| fs::read_to_string(copy).ok());
        match copy.map(|copy| self.install(&copy)) {
            Some(true) => warn!("the issuer's keys are those that could be fetched last"),
            _ => warn!("there are no keys yet: tokens are refused until the issuer answers"),
        }
    }

    /// Fetches the keys again and again, and when one is missed.
    async fn keep_fresh(self) {
        let Some(keys) = self.auth.keys() else { return };
        let mut is_fetched = true;
        loop {
            let wait = if is_fetched {
                self.refresh_interval
            } else {
                self.retry_interval
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = keys.wanted() => {}
            }
            is_fetched = self.fetch().await;
            tokio::time::sleep(self.retry_interval).await;
        }
    }

    /// Fetches the keys once. Returns whether there are any.
    async fn fetch(&self) -> bool {
        let document = match self.source.fetch().await {
            Ok(document) => document,
            Err(error) => {
                warn!(%error, "the issuer's keys stay as they were");
                return false;
            }
        };
        let is_installed = self.install(&document);
        if is_installed && let Some(copy) = &self.copy {
            write_whole(copy, &document);
        }
        is_installed
    }

    fn install(&self, document: &str) -> bool {
        let Some(keys) = self.auth.keys() else {
            return false;
        };
        match keys.install(document) {
            Ok(_) => true,
            Err(error) => {
                warn!(%error, "the issuer's keys stay as they were");
                false
            }
        }
    }
}

/// Writes a file so that a reader finds the old one or the new one.
fn write_whole(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        warn!(%error, path = %path.display(), "the copy of the issuer's keys was not written");
    }
}

//! `tidings token`: makes credentials.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::app::cli::{KeyToken, TokenKind, UserToken};
use crate::app::config;
use crate::app::keys;
use crate::app::screen::say;
use crate::auth::{ApiKey, Issue, NewApiKey, Pattern, Patterns, SigningKey};

/// Makes one and prints it.
pub(super) fn run(kind: TokenKind) -> anyhow::Result<u8> {
    match kind {
        TokenKind::User(user) => say(&signed(&user)?),
        TokenKind::Key(key) => made(key),
    }
}

fn signed(user: &UserToken) -> anyhow::Result<String> {
    let config = config::load(&user.settings.sources())?.config;
    let jwt = &config.auth.jwt;
    let key = match (&user.key_file, &jwt.secret) {
        (Some(path), _) => {
            let shown = path.display();
            let pem = fs::read(path).with_context(|| format!("`{shown}` cannot be read"))?;
            SigningKey::of_pem(&pem).with_context(|| format!("`{shown}`"))?
        }
        (None, Some(secret)) => SigningKey::of_secret(secret),
        (None, None) => anyhow::bail!(
            "there is nothing to sign with: set `auth.jwt.secret` (TIDINGS__AUTH__JWT__SECRET_FILE), \
             or give a private key with --key-file"
        ),
    };
    let issue = Issue {
        sub: user.sub.clone(),
        role: Some(user.role.clone()).filter(|role| role != "user"),
        sub_topics: patterns(&user.sub_topic),
        pub_topics: patterns(&user.pub_topic),
        iss: jwt.issuer.clone(),
        aud: jwt.audience.clone(),
    };
    Ok(issue.sign(&key, user.valid)?)
}

fn made(key: KeyToken) -> anyhow::Result<u8> {
    let (settings, print) = (key.settings, key.print);
    let (kept, secret) = NewApiKey {
        name: key.name,
        is_admin: key.admin,
        pub_topics: patterns(&key.pub_topic).unwrap_or_else(Patterns::all),
        sub_topics: patterns(&key.sub_topic),
    }
    .make();
    if print {
        say(&ApiKey::write(vec![kept]).replace("[[keys]]", "[[auth.keys]]"))?;
        return say(secret.reveal());
    }
    let sources = config::Sources {
        insecure: true,
        ..settings.sources()
    };
    let config = config::load(&sources)?.config;
    let path = keys::file_of(&config).context(
        "there is no file to keep the key's hash in: give --data-dir, set `auth.keys_file`, or use \
         --print",
    )?;
    add(&path, kept).with_context(|| format!("`{}`", path.display()))?;
    say(secret.reveal())
}

/// Adds a key to the file, which only its owner may read.
fn add(path: &Path, key: ApiKey) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut keys = match fs::read_to_string(path) {
        Ok(text) => ApiKey::parse(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    keys.push(key);
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(ApiKey::write(keys).as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(())
}

fn patterns(given: &[Pattern]) -> Option<Patterns> {
    (!given.is_empty()).then(|| given.to_vec().into())
}

//! From layers of settings to a [`Config`], with everything that is wrong on the way.
//!
//! Deserialising stops at the first error. So the offending setting is noted and put back to its
//! default, and the rest is tried again, until all is read: that is how all problems come at once.

use std::collections::BTreeMap;
use std::path::Path;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::flatten::{Setting, find, leaves, put, remove};
use super::problem::{Origin, Problem, nearest};
use super::sources::Sources;
use super::{Config, DEFAULTS, environment};

/// More problems than this are not looked for.
const PROBLEMS_MAX: usize = 100;

/// Largest file that is read as configuration or as a secret.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What came of the sources.
pub(super) struct Resolved {
    /// The configuration, with defaults in place of what is wrong.
    pub(super) config: Option<Config>,
    pub(super) origins: BTreeMap<Vec<String>, Origin>,
    pub(super) problems: Vec<Problem>,
}

/// Reads all sources.
pub(super) fn resolve(sources: &Sources) -> Resolved {
    let defaults: Table = DEFAULTS.parse().expect("the embedded defaults are TOML");
    let mut layers = Layers {
        table: defaults.clone(),
        defaults,
        settings: BTreeMap::new(),
        problems: Vec::new(),
    };
    if let Some(path) = &sources.file {
        match file(path) {
            Ok(settings) => layers.lay(settings),
            Err(problem) => layers.problems.push(problem),
        }
    }
    let settings = environment::settings(sources, &layers.table.clone(), &mut layers.problems);
    layers.lay(settings);
    let config = layers.read();
    let origins = layers
        .settings
        .into_iter()
        .map(|(key, setting)| (key, setting.origin))
        .collect();
    Resolved {
        config,
        origins,
        problems: layers.problems,
    }
}

fn file(path: &Path) -> Result<Vec<Setting>, Problem> {
    let origin = Origin::File(path.to_owned());
    let text = bounded(path).map_err(|what| Problem::new(&[], origin.clone(), what))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let what = format!("this is no TOML: {}", error.to_string().trim_end());
        Problem::new(&[], origin.clone(), what.replace('\n', "\n    "))
    })?;
    Ok(leaves(table, &origin))
}

fn bounded(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| format!("cannot be read: {error}"))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(format!(
            "has {length} bytes: at most {FILE_BYTES_MAX} are read"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

struct Layers {
    defaults: Table,
    table: Table,
    settings: BTreeMap<Vec<String>, Setting>,
    problems: Vec<Problem>,
}

impl Layers {
    fn lay(&mut self, settings: Vec<Setting>) {
        for setting in settings {
            match put(&mut self.table, &setting) {
                Ok(()) => {
                    self.settings.insert(setting.key.clone(), setting);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    /// Reads the table, again and again without what is wrong in it.
    fn read(&mut self) -> Option<Config> {
        let mut rounds = 0;
        loop {
            let error = match serde_path_to_error::deserialize(self.table.clone()) {
                Ok(config) => return Some(config),
                Err(error) => error,
            };
            rounds += 1;
            let key = key_of(&error);
            let message = error.inner().message().to_owned();
            let Some(setting) = self.culprit(&key) else {
                self.problems
                    .push(Problem::new(&key, Origin::Default, message));
                return None;
            };
            if rounds > PROBLEMS_MAX {
                return None;
            }
            self.settle(setting, &key, &message);
        }
    }

    /// The setting that a failing key belongs to: itself, the nearest above, or one below.
    fn culprit(&mut self, key: &[String]) -> Option<Setting> {
        let above = (1..=key.len()).rev().map(|length| &key[..length]);
        let exact = above
            .into_iter()
            .find_map(|key| self.settings.get(key).cloned());
        let found = exact.or_else(|| {
            self.settings
                .values()
                .find(|setting| setting.key.starts_with(key))
                .cloned()
        })?;
        self.settings.remove(&found.key)
    }

    /// Tries another reading, or notes the problem and goes back to the default.
    fn settle(&mut self, mut setting: Setting, key: &[String], message: &str) {
        remove(&mut self.table, &setting.key);
        let unknown = message.starts_with("unknown field");
        if unknown && setting.key.len() > key.len() {
            remove(&mut self.table, key);
            self.settings.retain(|other, _| !other.starts_with(key));
        }
        if unknown && let Some(secret) = self.secret(&setting) {
            self.lay(vec![secret]);
            return;
        }
        if !unknown && !setting.alternatives.is_empty() {
            setting.value = setting.alternatives.remove(0);
            self.lay(vec![setting]);
            return;
        }
        let what = if unknown {
            self.unknown(key, message)
        } else {
            told(message, &setting)
        };
        self.problems.push(Problem::new(key, setting.origin, what));
        if let Some(value) = find(&self.defaults, &setting.key) {
            let default = Setting::new(setting.key.clone(), value.clone(), Origin::Default);
            put(&mut self.table, &default).expect("defaults fit into the defaults");
        }
    }

    /// `.._FILE` in the environment names a file that holds the value.
    fn secret(&mut self, setting: &Setting) -> Option<Setting> {
        let Origin::Environment(name) = &setting.origin else {
            return None;
        };
        let (last, above) = setting.key.split_last()?;
        let mut key = above.to_vec();
        key.push(last.strip_suffix("_file")?.to_owned());
        let origin = Origin::Secret(name.clone());
        match bounded(Path::new(setting.value.as_str()?)) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                Some(Setting::new(key, Value::String(text), origin))
            }
            Err(what) => {
                self.problems.push(Problem::new(&key, origin, what));
                Some(Setting::new(
                    Vec::new(),
                    Value::Boolean(false),
                    Origin::Default,
                ))
            }
        }
    }

    /// What an unknown key was probably meant to be.
    fn unknown(&self, key: &[String], message: &str) -> String {
        let Some((last, above)) = key.split_last() else {
            return message.to_owned();
        };
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let in_section = nearest(last, known.iter().copied()).map(|name| {
            let mut key = above.to_vec();
            key.push(name.to_owned());
            key.join(".")
        });
        let elsewhere = || {
            leaves(self.defaults.clone(), &Origin::Default)
                .into_iter()
                .find(|leaf| leaf.key.last() == Some(last))
                .map(|leaf| leaf.key.join("."))
        };
        match in_section.or_else(elsewhere) {
            Some(meant) => format!("there is no such key; did you mean `{meant}`?"),
            None if known.is_empty() => "there is no such key".to_owned(),
            None => format!("there is no such key; here there are: {}", known.join(", ")),
        }
    }
}

/// The message of a wrong value. Secrets are not repeated.
fn told(message: &str, setting: &Setting) -> String {
    if matches!(setting.origin, Origin::Secret(_)) {
        "the value is not of the kind that is expected here".to_owned()
    } else if message == "invalid socket address syntax" {
        "this is no address: write an IP address and a port, as in `127.0.0.1:3000`".to_owned()
    } else {
        ["usize", "u64", "u32", "u16", "u8"]
            .iter()
            .fold(message.to_owned(), |said, kind| {
                said.replace(&format!("expected {kind}"), "expected a whole number")
            })
    }
}

/// The key that an error is about.
fn key_of(error: &serde_path_to_error::Error<toml::de::Error>) -> Vec<String> {
    let mut key: Vec<String> = error
        .path()
        .iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    let message = error.inner().message();
    if message.starts_with("unknown field")
        && let Some(name) = message.split('`').nth(1)
        && key.last().map(String::as_str) != Some(name)
    {
        key.push(name.to_owned());
    }
    key
}

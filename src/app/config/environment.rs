//! The environment and the flags as settings.
//!
//! `TIDINGS__HUB__RING_EVENTS_MAX` is `hub.ring_events_max`. Their values are text without a
//! type; the default of the same key tells what is meant. Where there is no default, the readings
//! are tried one after the other ([`Setting::alternatives`]).

use std::net::SocketAddr;

use toml::{Table, Value};

use super::LISTEN;
use super::flatten::{Setting, find, leaves};
use super::problem::{Origin, Problem};
use super::sources::Sources;

/// What our variables begin with.
const PREFIX: &str = "TIDINGS__";

/// Variables that other programs understand as well.
const USUAL: [&str; 3] = ["PORT", "REDIS_URL", "RUST_LOG"];

/// The settings of the environment, then those of the flags.
pub(super) fn settings(
    sources: &Sources,
    base: &Table,
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut keep = |read: Result<Vec<Setting>, Problem>| match read {
        Ok(settings) => found.extend(settings),
        Err(problem) => problems.push(problem),
    };
    let mut variables = sources.environment.clone();
    variables.sort();
    for (name, value) in &variables {
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.starts_with(PREFIX) || assist(name).is_some();
        if !USUAL.contains(&name) && !is_ours {
            continue;
        }
        let origin = Origin::Environment(name.to_owned());
        let Some(value) = value.to_str() else {
            keep(Err(Problem::new(&[], origin, "its value is not UTF-8")));
            continue;
        };
        keep(variable(name, value, base, origin));
    }
    if let Some(listen) = &sources.listen {
        let origin = Origin::Flag("--listen".to_owned());
        keep(typed(path(&LISTEN), listen, base, &origin));
    }
    if let Some(dir) = &sources.data_dir {
        let origin = Origin::Flag("--data-dir".to_owned());
        let key = path(&["store", "data_dir"]);
        keep(match dir.to_str() {
            Some(dir) => Ok(vec![Setting::new(
                key,
                Value::String(dir.to_owned()),
                origin,
            )]),
            None => Err(Problem::new(&key, origin, "the path is not UTF-8")),
        });
    }
    if sources.insecure {
        let origin = Origin::Flag("--insecure".to_owned());
        keep(Ok(vec![Setting::new(
            path(&["auth", "insecure"]),
            Value::Boolean(true),
            origin,
        )]));
    }
    for assignment in &sources.set {
        keep(assigned(assignment, base));
    }
    found
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn variable(
    name: &str,
    value: &str,
    base: &Table,
    origin: Origin,
) -> Result<Vec<Setting>, Problem> {
    if name == "PORT" {
        return port(value, base, origin).map(|setting| vec![setting]);
    }
    if name == "REDIS_URL" {
        return typed(path(&["store", "redis", "url"]), value, base, &origin);
    }
    if name == "RUST_LOG" {
        return typed(path(&["log", "filter"]), value, base, &origin);
    }
    if let Some((key, unit)) = assist(name) {
        let key = path(&["face", "ws", "assistant", key]);
        return typed(key, &format!("{}{unit}", value.trim()), base, &origin);
    }
    let key = name[PREFIX.len()..].to_ascii_lowercase();
    let key: Vec<String> = key.split("__").map(str::to_owned).collect();
    if key.iter().any(String::is_empty) {
        let what = "the name has an empty part; write TIDINGS__SECTION__KEY";
        return Err(Problem::new(&[], origin, what));
    }
    typed(key, value, base, &origin)
}

/// The variables of the Assist application: the key, and the unit that is left out.
fn assist(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "WS_MAX_MESSAGES" => ("messages_max", ""),
        "WS_RATE_WINDOW" => ("rate_window", "s"),
        "WS_CLEANUP_INTERVAL" => ("cleanup_interval", "s"),
        _ => return None,
    })
}

/// `PORT` changes the port and leaves the address as it is.
fn port(value: &str, base: &Table, origin: Origin) -> Result<Setting, Problem> {
    let key = path(&LISTEN);
    let Ok(port) = value.trim().parse::<u16>() else {
        let what = format!("`{value}` is no port: write a number from 0 to 65535");
        return Err(Problem::new(&key, origin, what));
    };
    let listen = find(base, &key).and_then(Value::as_str).unwrap_or_default();
    let mut listen: SocketAddr = listen
        .parse()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], port)));
    listen.set_port(port);
    Ok(Setting::new(key, Value::String(listen.to_string()), origin))
}

/// `key=value` of `--set`.
fn assigned(assignment: &str, base: &Table) -> Result<Vec<Setting>, Problem> {
    let origin = Origin::Flag(format!("--set {assignment}"));
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Problem::new(&[], origin, "write `--set key=value`"));
    };
    let key: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if key.iter().any(String::is_empty) {
        return Err(Problem::new(
            &[],
            origin,
            "the key has an empty part; write `section.key`",
        ));
    }
    let origin = Origin::Flag(format!("--set {}", key.join(".")));
    typed(key, value, base, &origin)
}

/// Reads text as what the default of the key is.
fn typed(
    key: Vec<String>,
    text: &str,
    base: &Table,
    origin: &Origin,
) -> Result<Vec<Setting>, Problem> {
    let string = Value::String(text.to_owned());
    let json = serde_json::from_str::<Value>(text.trim()).ok();
    let mut setting = Setting::new(key, string.clone(), origin.clone());
    match find(base, &setting.key) {
        Some(Value::String(_)) => {}
        Some(Value::Array(_)) => match json {
            Some(list @ Value::Array(_)) => setting.value = list,
            None if text.trim_start().starts_with('[') => {
                let what = "this begins like a list but is not JSON; write [\"a\", \"b\"]";
                return Err(Problem::new(&setting.key, origin.clone(), what));
            }
            _ => setting.value = Value::Array(vec![string]),
        },
        Some(Value::Table(_)) => match json {
            Some(Value::Table(inner)) => {
                let mut inner = leaves(inner, origin);
                for leaf in &mut inner {
                    leaf.key.splice(0..0, setting.key.iter().cloned());
                }
                return Ok(inner);
            }
            _ => {
                let what = "this is a section: write a JSON object, or set the keys in it";
                return Err(Problem::new(&setting.key, origin.clone(), what));
            }
        },
        Some(_) => setting.value = json.unwrap_or(string),
        None => {
            setting.alternatives = json.into_iter().collect();
            setting.alternatives.push(Value::Array(vec![string]));
        }
    }
    Ok(vec![setting])
}

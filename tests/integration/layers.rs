//! The floors of the house: imports point down, and foreign crates stay at home.

use std::fs;
use std::path::{Path, PathBuf};

/// Every part and its floor.
const FLOORS: [(&str, u8); 17] = [
    ("app", 5),
    ("face", 4),
    ("connection", 3),
    ("producer", 3),
    ("hub", 2),
    ("cluster", 2),
    ("store", 1),
    ("wire", 1),
    ("auth", 1),
    ("limit", 1),
    ("upstream", 1),
    ("topic", 0),
    ("document", 0),
    ("drain", 0),
    ("quantity", 0),
    ("origin", 0),
    ("histogram", 0),
];

/// Foreign crates that only some parts may name.
const HOMES: [(&str, &[&str]); 15] = [
    ("rusqlite", &["store"]),
    ("fred", &["store"]),
    ("socketioxide", &["face/socketio", "app/bench/plain"]),
    ("engineioxide", &["face/socketio"]),
    ("hyper_util", &["wire", "cluster"]),
    ("jsonwebtoken", &["auth"]),
    ("bcrypt", &["auth"]),
    ("reqwest", &["upstream"]),
    ("opentelemetry", &["upstream"]),
    ("opentelemetry_sdk", &["upstream"]),
    ("opentelemetry_otlp", &["upstream"]),
    ("opentelemetry_http", &["upstream"]),
    ("sysinfo", &["producer/monitor"]),
    ("axum", &["face", "app"]),
    ("yawc", &["face/ws"]),
];

/// A part of floor 0 may use another of floor 0 only if it is listed here: quantities are words
/// that configs of every floor are written in, and an event knows the trace that it belongs to.
const SAME_FLOOR: [(&str, &str); 2] = [("drain", "quantity"), ("topic", "origin")];

pub(crate) fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The names that follow `prefix` in a line, each up to the next separator.
fn names<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(move |(at, _)| {
        let starts_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &line[at + prefix.len()..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        (starts_word && end > 0).then_some(&rest[..end])
    })
}

/// What `line` imports from the crate, `use crate::{a, b}` included.
fn imported_parts(line: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = names(line, "crate::").collect();
    if let Some((_, list)) = line.split_once("use crate::{") {
        parts.extend(list.split([',', '}', ';']).filter_map(|item| {
            item.trim()
                .split("::")
                .next()
                .filter(|name| !name.is_empty())
        }));
    }
    parts
}

fn floor(part: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == part)
        .map(|(_, floor)| *floor)
}

fn breaches(path: &Path, text: &str) -> Vec<String> {
    let own = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let own = own.to_string_lossy().replace('\\', "/");
    let part = own.split('/').next().unwrap_or_default();
    let mut breaches = Vec::new();
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"));
    for (number, line) in lines {
        let place = format!("{}:{}", path.display(), number + 1);
        let mine = floor(part);
        for other in imported_parts(line)
            .into_iter()
            .filter(|other| *other != part)
        {
            let Some(theirs) = floor(other) else { continue };
            let is_listed = SAME_FLOOR.contains(&(part, other));
            if mine.is_some_and(|mine| theirs >= mine) && !is_listed {
                breaches.push(format!(
                    "{place}: `{part}` imports `{other}`, which is not below it"
                ));
            }
        }
        for (foreign, homes) in HOMES {
            let is_home = homes
                .iter()
                .any(|home| own == *home || own.starts_with(&format!("{home}/")));
            let is_named = names(line, &format!("{foreign}::")).next().is_some()
                || line.contains(&format!("use {foreign};"));
            if is_named && !is_home {
                breaches.push(format!("{place}: `{foreign}` is used outside of {homes:?}"));
            }
        }
    }
    breaches
}

#[test]
fn imports_point_down_and_foreign_crates_stay_at_home() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| breaches(path, &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(files.len() > 40, "the sources are found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_part_has_a_floor() {
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_known = floor(&name).is_some() || matches!(name.as_str(), "lib" | "main");
        assert!(
            is_known,
            "`{name}` has no floor: give it one in tests/integration/layers.rs"
        );
    }
}

#[test]
fn a_breach_is_found_with_file_and_line() {
    let found = |path: &str, text: &str| breaches(Path::new(path), text);
    let up = found("src/topic/ring.rs", "//! x\nuse crate::hub::Hub;\n");
    assert_eq!(
        up,
        ["src/topic/ring.rs:2: `topic` imports `hub`, which is not below it"]
    );
    let across = found("src/store.rs", "use crate::{topic::Seq, wire::Config};\n");
    assert_eq!(
        across,
        ["src/store.rs:1: `store` imports `wire`, which is not below it"]
    );
    let foreign = found(
        "src/hub.rs",
        "fn f() { let _ = socketioxide::SocketIo::new_layer(); }\n",
    );
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert!(found("src/face/socketio/link.rs", "use crate::wire::Outbox;\n").is_empty());
}

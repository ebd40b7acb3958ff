//! What is in the tree of dependencies: no source but the registry, no licence that is not allowed,
//! no crate that is banned. `cargo deny` says more where it is installed.

use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rules, as `cargo deny` reads them.
fn rules() -> toml::Table {
    include_str!("../../deny.toml").parse().unwrap()
}

fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let licence = licence.replace('/', " OR ").replace(['(', ')'], " ");
    let one = |part: &str| allowed.contains(&part.trim());
    licence
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(one))
}

/// The numbers of a version, as far as they go.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(['.', '-', '+']);
    parts.map_while(|part| part.parse().ok()).collect()
}

/// Whether a rule (`name`, or `name:<version`) is about a package.
fn is_banned(rule: &str, name: &str, version: &str) -> bool {
    match rule.split_once(":<") {
        None => rule == name,
        Some((banned, floor)) => banned == name && numbers(version) < numbers(floor),
    }
}

#[test]
fn a_rule_with_a_version_is_a_floor() {
    for (rule, version, expected) in [
        ("a", "1.0.0", true),
        ("b", "1.0.0", false),
        ("a:<1.2", "1.1.9", true),
        ("a:<1.2", "1.2.0", false),
        ("a:<0.17.12", "0.17.9", true),
        ("a:<0.17.12", "0.18.0", false),
    ] {
        assert_eq!(is_banned(rule, "a", version), expected, "{rule} {version}");
    }
}

#[test]
fn the_package_holds_what_it_is_built_from_and_no_more() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let files = String::from_utf8(output.stdout).unwrap();
    for needed in [
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "clients/dashboard/index.html",
        "config/tidings.toml",
        "src/store/redis/append.lua",
    ] {
        assert!(files.lines().any(|file| file == needed), "{needed}");
    }
    for foreign in ["node_modules", ".py"] {
        assert!(!files.contains(foreign), "{foreign} in\n{files}");
    }
    for folder in ["tests/", "fuzz/"] {
        let is_there = files.lines().any(|file| file.starts_with(folder));
        assert!(!is_there, "{folder} in\n{files}");
    }
}

#[test]
fn every_dependency_is_of_the_registry_allowed_and_not_banned() {
    let (metadata, rules) = (metadata(), rules());
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: Vec<&str> = allowed.iter().map(|one| one.as_str().unwrap()).collect();
    let banned = rules["bans"]["deny"].as_array().unwrap();
    let banned: Vec<&str> = banned
        .iter()
        .map(|one| one["crate"].as_str().unwrap())
        .collect();
    let excepted = |name: &str| {
        let exceptions = rules["licenses"]["exceptions"].as_array().unwrap();
        let mut exceptions = exceptions.iter();
        let found = exceptions.find(|one| one["crate"].as_str() == Some(name));
        let allow = found.and_then(|one| one["allow"].as_array());
        let allow = allow.into_iter().flatten().filter_map(toml::Value::as_str);
        allow.collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(source) = package["source"].as_str() else {
            continue;
        };
        if !source.starts_with("registry+") {
            wrong.push(format!("{name} comes from {source}"));
        }
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence, &allowed) && !is_allowed(licence, &excepted(name)) {
            wrong.push(format!("{name} is under {licence}"));
        }
        let version = package["version"].as_str().unwrap();
        if banned.iter().any(|rule| is_banned(rule, name, version)) {
            wrong.push(format!("{name} {version} is banned"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

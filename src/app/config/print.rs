//! The effective configuration as TOML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::Config;
use super::problem::Origin;

/// Writes all values; what a user set says where.
pub(super) fn to_toml(config: &Config, origins: &BTreeMap<Vec<String>, Origin>) -> String {
    let table = Table::try_from(config).expect("a configuration is a TOML table");
    let mut text = String::new();
    section(&mut Vec::new(), &table, origins, &mut text);
    text
}

fn section(
    above: &mut Vec<String>,
    table: &Table,
    origins: &BTreeMap<Vec<String>, Origin>,
    text: &mut String,
) {
    if !above.is_empty() {
        let name: Vec<String> = above.iter().map(|part| bare(part)).collect();
        let gap = if text.is_empty() { "" } else { "\n" };
        writeln!(text, "{gap}[{}]", name.join(".")).expect("a String takes all");
    }
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        above.push(key.clone());
        let origin = origins.get(above);
        let shown = match origin {
            Some(Origin::Secret(_)) => Value::String("(secret)".to_owned()),
            _ if has_password(value) => Value::String("(secret)".to_owned()),
            _ => value.clone(),
        };
        let from = origin
            .map(|origin| format!("  # from {origin}"))
            .unwrap_or_default();
        writeln!(text, "{} = {shown}{from}", bare(key)).expect("a String takes all");
        above.pop();
    }
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        above.push(key.clone());
        section(above, inner, origins, text);
        above.pop();
    }
}

/// Whether it is a URL with a password.
fn has_password(value: &Value) -> bool {
    let authority = value
        .as_str()
        .and_then(|text| text.split_once("://"))
        .and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    authority.is_some_and(|(credentials, _)| credentials.contains(':'))
}

/// A key, quoted if it has to be.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        Value::String(key.to_owned()).to_string()
    }
}

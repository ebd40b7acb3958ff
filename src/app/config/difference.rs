//! What differs between two configurations, by key.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Config;
use super::flatten::leaves;
use super::problem::Origin;

/// The keys of what differs, in order; a value that only one of them has is among them.
pub(super) fn keys(one: &Config, other: &Config) -> Vec<String> {
    let (one, mut other) = (values(one), values(other));
    let mut keys = Vec::new();
    for (key, value) in one {
        if other.remove(&key).as_ref() != Some(&value) {
            keys.push(key);
        }
    }
    keys.extend(other.into_keys());
    keys.sort_unstable();
    keys
}

fn values(config: &Config) -> BTreeMap<String, Value> {
    let table = Table::try_from(config).expect("a configuration is a TOML table");
    let leaves = leaves(table, &Origin::Default).into_iter();
    leaves
        .map(|setting| (setting.key.join("."), setting.value))
        .collect()
}

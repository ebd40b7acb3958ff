//! Settings: a table as a list of keys with values, and a list of them laid over a table.

use toml::{Table, Value};

use super::problem::{Origin, Problem};

/// One value for one key.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) key: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Other readings of the same text, if it is text without a type.
    pub(super) alternatives: Vec<Value>,
}

impl Setting {
    pub(super) fn new(key: Vec<String>, value: Value, origin: Origin) -> Self {
        Self {
            key,
            value,
            origin,
            alternatives: Vec::new(),
        }
    }
}

/// The leaves of a table, in its order. An empty table counts as a leaf.
pub(super) fn leaves(table: Table, origin: &Origin) -> Vec<Setting> {
    let mut found = Vec::new();
    collect(&mut Vec::new(), table, origin, &mut found);
    found
}

fn collect(above: &mut Vec<String>, table: Table, origin: &Origin, found: &mut Vec<Setting>) {
    for (key, value) in table {
        above.push(key);
        match value {
            Value::Table(inner) if !inner.is_empty() => collect(above, inner, origin, found),
            value => found.push(Setting::new(above.clone(), value, origin.clone())),
        }
        above.pop();
    }
}

/// The value at a key.
pub(super) fn find<'a>(table: &'a Table, key: &[String]) -> Option<&'a Value> {
    let (first, rest) = key.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() {
        Some(value)
    } else {
        find(value.as_table()?, rest)
    }
}

/// Puts a value at a key, making the sections above it.
pub(super) fn put(table: &mut Table, setting: &Setting) -> Result<(), Problem> {
    let refuse = |what: String| Problem::new(&setting.key, setting.origin.clone(), what);
    let Some((last, above)) = setting.key.split_last() else {
        return Ok(());
    };
    let mut here = table;
    for (depth, part) in above.iter().enumerate() {
        let next = here
            .entry(part.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            let value = setting.key[..=depth].join(".");
            return Err(refuse(format!(
                "`{value}` is a value: it has no keys of its own"
            )));
        };
        here = next;
    }
    match (here.get(last), &setting.value) {
        (Some(Value::Table(_)), Value::Table(inner)) if inner.is_empty() => {}
        (Some(Value::Table(_)), Value::Table(_)) | (None, _) => {
            here.insert(last.clone(), setting.value.clone());
        }
        (Some(Value::Table(_)), _) => {
            return Err(refuse(
                "this is a section, not a value: set the keys in it".to_owned(),
            ));
        }
        (Some(_), _) => {
            here.insert(last.clone(), setting.value.clone());
        }
    }
    Ok(())
}

/// Takes the value at a key away.
pub(super) fn remove(table: &mut Table, key: &[String]) {
    let Some((last, above)) = key.split_last() else {
        return;
    };
    let mut here = table;
    for part in above {
        let Some(Value::Table(next)) = here.get_mut(part) else {
            return;
        };
        here = next;
    }
    here.remove(last);
}

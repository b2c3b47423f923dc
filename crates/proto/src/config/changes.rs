//! What differs between two configurations, key by key.

use std::fmt;

use toml::{Table, Value};

use super::Edge;

/// A key whose value is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    path: String,
    says: String,
}

impl Change {
    /// The key with its sections: `server.limits.idle_timeout`, `site[0].route[2].ttl`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.says)
    }
}

pub(super) fn between(one: &Edge, other: &Edge) -> Vec<Change> {
    let table = |edge: &Edge| Table::try_from(edge).unwrap_or_default();
    let mut changes = Vec::new();
    tables(&mut changes, "", &table(one), &table(other));
    changes
}

fn tables(changes: &mut Vec<Change>, at: &str, one: &Table, other: &Table) {
    let new = other.keys().filter(|key| !one.contains_key(*key));
    for key in one.keys().chain(new) {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        values(changes, path, one.get(key), other.get(key));
    }
}

fn values(changes: &mut Vec<Change>, path: String, one: Option<&Value>, other: Option<&Value>) {
    let says = match (one, other) {
        (Some(one), Some(other)) if one == other => return,
        (Some(Value::Table(one)), Some(Value::Table(other))) => {
            return tables(changes, &path, one, other);
        }
        (Some(Value::Array(one)), Some(Value::Array(other)))
            if one.len() == other.len() && one.iter().chain(other).all(Value::is_table) =>
        {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                values(changes, format!("{path}[{number}]"), Some(one), Some(other));
            }
            return;
        }
        (one, other) => format!("{} became {}", shown(one), shown(other)),
    };
    changes.push(Change { path, says });
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::Table(_)) => "a section".to_owned(),
        Some(Value::Array(all)) if all.iter().any(Value::is_table) => match all.len() {
            1 => "one entry".to_owned(),
            len => format!("{len} entries"),
        },
        Some(value) => value.to_string(),
    }
}

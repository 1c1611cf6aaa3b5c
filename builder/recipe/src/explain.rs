//! A plan as rows: key, value, and where the value comes from.

use serde_json::Value;

use crate::plan::Plan;

impl Plan {
    /// Every value with its key and its origin, sorted by key; a list gives a row for each of its
    /// values, in order.
    ///
    /// The rows are read off the serialized plan, so that no value can be missing here.
    pub fn explain(&self) -> Vec<(String, String, String)> {
        let mut rows = Vec::new();
        // Nothing in a plan can fail to be serialized: keys are texts, numbers are whole.
        if let Ok(plan) = serde_json::to_value(self) {
            walk("", &plan, &mut rows);
        }
        // Stable, so that lists keep their order whatever order maps are in.
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        rows
    }
}

fn walk(key: &str, value: &Value, rows: &mut Vec<(String, String, String)>) {
    let join = |name: &str| {
        if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        }
    };
    match value {
        Value::Object(fields) => {
            if let (Some(value), Some(Value::String(origin)), 2) =
                (fields.get("value"), fields.get("origin"), fields.len())
            {
                rows.push((key.to_owned(), shown(value), origin.clone()));
                return;
            }
            for (name, value) in fields {
                walk(&join(&name.replace('_', "-")), value, rows);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                if value.get("origin").is_some() {
                    walk(key, value, rows);
                    continue;
                }
                let name = name_of(value).unwrap_or_else(|| (index + 1).to_string());
                walk(&join(&name), value, rows);
            }
        }
        Value::Null => {}
        // A value without an origin has none to tell.
        other => rows.push((key.to_owned(), shown(other), String::new())),
    }
}

/// What tells an element of a list from the others: its name, or a partition's kind and slot.
fn name_of(value: &Value) -> Option<String> {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str);
    if let Some(name) = text("/name/value") {
        return Some(name.to_owned());
    }
    let kind = text("/kind/value")?;
    Some(match text("/slot/value") {
        Some(slot) => format!("{kind}-{slot}"),
        None => kind.to_owned(),
    })
}

/// A value on one line.
fn shown(value: &Value) -> String {
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => match (field("name"), field("reason"), field("written")) {
            (Some(name), Some(reason), _) => format!("{name}: {reason}"),
            (Some(name), None, Some(written)) => format!("{name} (written as {written})"),
            (Some(name), None, None) => name.to_owned(),
            _ => value
                .get("bytes")
                .map_or_else(|| value.to_string(), Value::to_string),
        },
        other => other.to_string(),
    }
}

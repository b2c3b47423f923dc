//! A checker of JSON schemas (draft 2020-12), as much of it as ours use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use serde_json::Value;

/// Whether a value is what the schema says, or why not.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    at(schema, schema, value, "$")
}

fn at(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{place}: {why}: {value}"));
    for (keyword, said) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let target = root.pointer(said.as_str().unwrap().trim_start_matches('#')).unwrap();
                at(root, target, value, place)?;
                true
            }
            "type" => match said {
                Value::String(kind) => is(kind, value),
                kinds => kinds.as_array().unwrap().iter().any(|k| is(k.as_str().unwrap(), value)),
            },
            "const" => said == value,
            "enum" => said.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| number >= said.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= said.as_i64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() >= size(said)),
            "maxLength" => value.as_str().is_none_or(|text| text.len() <= size(said)),
            "minItems" => value.as_array().is_none_or(|list| list.len() >= size(said)),
            "maxItems" => value.as_array().is_none_or(|list| list.len() <= size(said)),
            "pattern" => {
                let pattern = regex::Regex::new(said.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "required" => value.as_object().is_none_or(|object| {
                said.as_array()
                    .unwrap()
                    .iter()
                    .all(|key| object.contains_key(key.as_str().unwrap()))
            }),
            "additionalProperties" => {
                assert_eq!(said, false);
                let known = schema["properties"].as_object().unwrap();
                value
                    .as_object()
                    .is_none_or(|object| object.keys().all(|key| known.contains_key(key)))
            }
            "properties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(property) = said.get(key) {
                        at(root, property, inner, &format!("{place}.{key}"))?;
                    }
                }
                true
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(root, said, item, &format!("{place}[{number}]"))?;
                }
                true
            }
            "anyOf" | "oneOf" => {
                let all = said.as_array().unwrap();
                let count = all.iter().filter(|one| at(root, one, value, place).is_ok()).count();
                if keyword == "oneOf" { count == 1 } else { count > 0 }
            }
            other => panic!("the checker does not know the keyword {other}"),
        };
        if !good {
            return fail(keyword);
        }
    }
    Ok(())
}

fn size(said: &Value) -> usize {
    usize::try_from(said.as_u64().unwrap()).unwrap()
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the checker does not know the type {other}"),
    }
}

//! What a descriptor that is wrong may mean: every text in it that could name a file.

use serde::{Deserialize, Deserializer, de};

/// No more texts are looked at: a descriptor that is right has a few hundred at the most.
const MAX_STRINGS: usize = 4_096;

/// Every string in a JSON text that is not the name of a member, members that are there twice
/// included; `None` where it is no JSON, or has too many.
pub(crate) fn strings(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok().map(|Strings(found)| found)
}

struct Strings(Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        json.deserialize_any(Collect(&mut found))?;
        Ok(Self(found))
    }
}

struct Collect<'a>(&'a mut Vec<String>);

impl<'de> de::DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if self.0.len() == MAX_STRINGS {
            return Err(E::custom("too many strings"));
        }
        self.0.push(text.to_owned());
        Ok(())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<de::IgnoredAny>()?.is_some() {
            members.next_value_seed(Collect(&mut *self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Collect(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_found_and_what_is_no_json_is_none() {
        let text = r#"{"a": "1", "a": ["2", {"b": "\u0033", "c": [null, true, -1, 2, 0.5]}]}"#;
        assert_eq!(strings(text), Some(["1", "2", "3"].map(str::to_owned).to_vec()));
        assert_eq!(strings("7"), Some(Vec::new()));
        for broken in ["", "{", r#"{"a": "1",}"#, r#"{"a": "1"} x"#] {
            assert_eq!(strings(broken), None, "{broken}");
        }
        let many = |count| format!("[{}]", vec!["\"\""; count].join(","));
        assert_eq!(strings(&many(MAX_STRINGS)).map(|found| found.len()), Some(MAX_STRINGS));
        assert_eq!(strings(&many(MAX_STRINGS + 1)), None);
    }
}

//! Attribute lists (RFC 8216bis §4.2), exact about their grammar.

/// An attribute list as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) list: Vec<(String, Value)>,
    /// What is against the grammar.
    pub(crate) errors: Vec<String>,
}

/// A value: what stands between quotes, or what stands bare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Quoted(String),
    Bare(String),
}

impl Value {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Quoted(text) | Self::Bare(text) => text,
        }
    }

    pub(crate) fn is_quoted(&self) -> bool {
        matches!(self, Self::Quoted(_))
    }
}

impl Attributes {
    /// Reads as much as can be understood, and notes what cannot.
    pub(crate) fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once('=') else {
                found.errors.push(format!("`{rest}` has no value"));
                break;
            };
            let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(legal) {
                found.errors.push(format!("`{name}` is no attribute name"));
            }
            let (value, remaining) = if let Some(quoted) = after.strip_prefix('"') {
                let Some((inside, remaining)) = quoted.split_once('"') else {
                    found.errors.push(format!("{name} has no closing quote"));
                    break;
                };
                (Value::Quoted(inside.to_owned()), remaining)
            } else {
                let (bare, remaining) =
                    after.find(',').map_or((after, ""), |at| after.split_at(at));
                let strange = |c: char| c.is_whitespace() || c == '"';
                if bare.is_empty() || bare.contains(strange) {
                    found.errors.push(format!("{name} has the value `{bare}`"));
                }
                (Value::Bare(bare.to_owned()), remaining)
            };
            found.list.push((name.trim().to_owned(), value));
            rest = match remaining.strip_prefix(',') {
                Some("") => {
                    found.errors.push("a comma at the end".to_owned());
                    ""
                }
                Some(next) => next,
                None if remaining.is_empty() => "",
                None => {
                    found.errors.push(format!("`{remaining}` after the value of {name}"));
                    remaining.find(',').map_or("", |at| remaining.get(at + 1..).unwrap_or(""))
                }
            };
        }
        found
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(Value::text)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn decimal(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|value: &f64| value.is_finite())
    }

    pub(crate) fn is_yes(&self, name: &str) -> bool {
        self.text(name) == Some("YES")
    }

    /// `1920x1080`.
    pub(crate) fn resolution(&self, name: &str) -> Option<(u64, u64)> {
        let (width, height) = self.text(name)?.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    }

    /// A quoted list with commas.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        self.text(name).map_or(Vec::new(), |text| text.split(',').map(str::trim).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_or_bare_and_commas_in_quotes_do_not_split() {
        let found = Attributes::parse("A=1,B-2=\"x,y=z\",C=1x2");
        assert_eq!(found.errors, Vec::<String>::new());
        assert_eq!(found.text("B-2"), Some("x,y=z"));
        assert!(found.get("B-2").is_some_and(Value::is_quoted));
        assert_eq!(found.number("A"), Some(1));
        assert_eq!(found.resolution("C"), Some((1, 2)));
    }

    #[test]
    fn what_is_against_the_grammar_is_noted() {
        for text in
            ["A", "a=1", "A=", "A=\"x", "A=1,", "A=\"x\"y", "A=1, B=2", "A=x y", "A=\"x\" ,B=1"]
        {
            assert!(!Attributes::parse(text).errors.is_empty(), "{text}");
        }
    }
}

//! Queries, as they stand in URLs.

/// The parameters of a query, as they stand between its ampersands (WHATWG URL §5.1): neither decoded nor
/// divided into names and values. Queries of players are long and have few, so that they are looked for many bytes
/// at once.
///
/// ```
/// let all: Vec<_> = headwater_net::query::parameters("a=1&&b=2").collect();
/// assert_eq!(all, ["a=1", "", "b=2"]);
/// ```
pub fn parameters(query: &str) -> impl Iterator<Item = &str> + Clone {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let text = rest?;
        let (parameter, behind) = match memchr::memchr(b'&', text.as_bytes()) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        rest = behind;
        Some(parameter)
    })
}

/// The name of a parameter: all before its first `=`. Names are short, and are looked for byte by byte.
///
/// ```
/// assert_eq!(headwater_net::query::name("a=1=2"), "a");
/// assert_eq!(headwater_net::query::name("a"), "a");
/// ```
pub fn name(parameter: &str) -> &str {
    let end = parameter.bytes().position(|byte| byte == b'=').unwrap_or(parameter.len());
    // It ends before a byte of ASCII.
    parameter.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_those_that_a_split_finds(query in "[a&=%é]{0,40}") {
            let all: Vec<&str> = parameters(&query).collect();
            prop_assert_eq!(all, query.split('&').collect::<Vec<_>>());
            prop_assert_eq!(Some(name(&query)), query.split('=').next());
        }
    }
}

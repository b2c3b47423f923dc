//! The word that was meant.

/// Whether a word of a variable's name stands for a key or a name: case does not count, and `_`
/// stands for what a variable's name cannot hold.
pub(super) fn is_same(word: &str, of_variable: &str) -> bool {
    word.len() == of_variable.len()
        && word.bytes().zip(of_variable.bytes()).all(|(one, other)| {
            one.eq_ignore_ascii_case(&other) || (other == b'_' && !one.is_ascii_alphanumeric())
        })
}

/// `; did you mean 'listen'?`, or the words there are, or nothing where there are none.
pub(super) fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|word| (strsim::osa_distance(given, word), *word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 3))
        .min();
    match near {
        Some((_, word)) => format!("; did you mean '{word}'?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_near_word_is_named_and_else_all() {
        assert_eq!(hint("listn", ["listen", "workers"]), "; did you mean 'listen'?");
        assert_eq!(hint("xyzzy", ["listen", "workers"]), "; there are listen, workers");
        assert_eq!(hint("xyzzy", []), "");
    }

    #[test]
    fn variables_name_keys_whatever_their_case() {
        assert!(is_same("listen_http", "listen_http"));
        assert!(is_same("Media-1", "media_1"));
        assert!(!is_same("media", "medium"));
    }
}

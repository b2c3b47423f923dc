//! A file is one idea: past 600 lines of code there is a second one in it.

use super::Finding;
use super::source::{code_only, without_tests};

const READABLE: usize = 600;
const TOO_LONG: usize = 900;

/// Counts the lines before the tests, comments included: they are read too.
pub(super) fn check(path: &str, text: &str) -> Option<Finding> {
    if path.split('/').any(|part| part == "tests" || part == "tests.rs") {
        return None;
    }
    let lines = without_tests(&code_only(text)).lines().count();
    let what = format!("{lines} lines besides its tests; there is a second idea in it");
    if lines > TOO_LONG {
        Some(Finding::new(path, 0, what))
    } else {
        (lines > READABLE).then(|| Finding::warning(path, 0, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_said_and_very_long_ones_fail() {
        let fatal = |lines| check("a.rs", &"//! a\n".repeat(lines)).map(|finding| finding.fatal);
        assert_eq!((fatal(600), fatal(601), fatal(901)), (None, Some(false), Some(true)));
    }

    #[test]
    fn tests_do_not_count() {
        let text = format!("//! a\n#[cfg(test)]\nmod tests {{\n{}}}", "fn a() {}\n".repeat(2000));
        assert_eq!(check("a.rs", &text), None);
        assert_eq!(check("crates/a/tests/b.rs", &"//! a\n".repeat(2000)), None);
    }
}

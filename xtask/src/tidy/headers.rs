//! Every Rust file begins by saying what it is for.

use super::Finding;

/// The first line that is no attribute must be a `//!`.
pub(super) fn check(path: &str, text: &str) -> Option<Finding> {
    let mut open = 0_i32;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        // A front page that is the README is included.
        if line.starts_with("#![doc = ") && open == 0 {
            return None;
        }
        let attribute = open > 0 || line.starts_with("#![");
        if line.starts_with("//!") && line.len() > "//!".len() && open == 0 {
            return None;
        }
        if !attribute && !line.is_empty() {
            return Some(Finding::new(path, number + 1, "the file does not begin with a `//!`"));
        }
        if attribute {
            let count = |c| i32::try_from(line.matches(c).count()).unwrap_or(i32::MAX);
            open += count('[') - count(']');
        }
    }
    Some(Finding::new(path, 0, "the file does not begin with a `//!`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        for text in
            ["fn main() {}", "// a note\n//! late", "", "//!\nuse a;", "#![allow(a)]\nuse b;"]
        {
            assert!(check("a.rs", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn attributes_may_come_first() {
        for text in
            ["//! What it is for.", "#![allow(\n    a,\n    reason = \"b\"\n)]\n\n//! What."]
        {
            assert_eq!(check("a.rs", text), None, "{text:?}");
        }
    }
}

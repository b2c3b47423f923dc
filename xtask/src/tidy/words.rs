//! No file names a place that exists on one machine only.

use super::Finding;

/// Folders of somebody's machine, in two halves each so that this file does not break its own
/// rule.
const PLACES: [(&str, &str); 4] =
    [("/wo", "rk/"), ("/ro", "ot/"), ("/Use", "rs/"), ("file:", "///home/")];

/// Finds machine paths that begin a path, not those that end one.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (head, tail) in PLACES {
            let place = format!("{head}{tail}");
            let begins = line.match_indices(&place).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| {
                    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '$')
                })
            });
            if begins {
                let what = format!("names a place on one machine: {place}");
                findings.push(Finding::new(path, number + 1, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_are_found_and_lookalikes_are_not() {
        let bad = format!("see {}rk/main or `{}ot/x`", "/wo", "/ro");
        assert_eq!(check("a.md", &bad).len(), 2);
        let good = format!("docs{}rk/a.md, https://example.com{1}ot/, ..{1}ot/", "/wo", "/ro");
        assert_eq!(check("a.md", &good), []);
    }
}

//! docs/cache-tests.md: two generated parts, one for npm's version of the suite and one for its
//! repository's, each between marks; what stands around them is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::score::{Count, Kind, Results, Row};
use crate::cli::{Failure, Outcome};

/// Puts these results in their place.
pub(super) fn write(
    root: &Path,
    checkout: bool,
    results: &Results,
    explained: &BTreeMap<&str, &str>,
) -> Outcome {
    let path = root.join("docs/cache-tests.md");
    let page = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    let mark = if checkout { "repository" } else { "npm" };
    let page = replace(&page, mark, &part(results, explained)).ok_or_else(|| {
        Failure::new(format!("docs/cache-tests.md has no marks for the part `{mark}`"))
    })?;
    fs::write(&path, page).map_err(|error| Failure::file("write", &path, &error))
}

/// The page with another text between the marks of a part.
fn replace(page: &str, mark: &str, text: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}{text}{close}{after}"))
}

fn part(results: &Results, explained: &BTreeMap<&str, &str>) -> String {
    let mut text = String::from(
        "\n| tests | edge: required | optional | shield: required | optional |\n\
         |---|---|---|---|---|\n",
    );
    let mut groups: Vec<&str> = Vec::new();
    for row in &results.edge {
        if !groups.contains(&row.suite.as_str()) {
            groups.push(&row.suite);
        }
    }
    for group in groups {
        line(&mut text, group, results, |row| row.suite == group);
    }
    line(&mut text, "**all**", results, |_| true);
    let wanting = results.wanting();
    if wanting.is_empty() {
        text.push_str("\nEvery required and optional test passes.\n\n");
        return text;
    }
    text.push_str("\nWhat does not pass:\n\n");
    for (id, row) in wanting {
        let why = explained.get(id).copied().unwrap_or("Not explained yet.");
        let kind = if row.kind == Kind::Required { "required" } else { "optional" };
        let _ = writeln!(text, "- `{id}` ({kind}; \"{}\"): {why}", row.name);
    }
    text.push('\n');
    text
}

fn line(text: &mut String, name: &str, results: &Results, belongs: impl Fn(&Row) -> bool) {
    let _ = write!(text, "| {name} |");
    for (_, rows) in results.each() {
        for kind in [Kind::Required, Kind::Optional] {
            let count = Count::of(rows.iter().filter(|row| belongs(row)), kind);
            let _ = match count.all() {
                0 => write!(text, " |"),
                all => write!(text, " {} of {all} |", count.pass),
            };
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;
    use crate::cache_tests::score;

    #[test]
    fn a_part_is_replaced_and_the_rest_is_kept() {
        let page = "a\n<!-- npm -->\nold\n<!-- end of npm -->\nb";
        let new = replace(page, "npm", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- npm -->\nnew\n<!-- end of npm -->\nb");
        assert_eq!(replace(&new, "npm", "old\n").unwrap(), page);
        assert_eq!(replace(page, "repository", ""), None);
    }

    #[test]
    fn what_does_not_pass_is_explained() {
        let row = |id: &str, result: &str| {
            serde_json::json!({
                "suite": "Vary", "id": id, "name": "It does", "kind": "optional",
                "result": result, "detail": "",
            })
        };
        let rows = |one| score::rows(&serde_json::json!([one, row("b", "pass")])).unwrap();
        let results = Results { edge: rows(row("a", "fail")), shield: rows(row("a", "pass")) };
        let explained = score::explanations("a: By choice.").unwrap();
        let text = part(&results, &explained);
        assert!(text.contains("| Vary | | 1 of 2 | | 2 of 2 |\n"), "{text}");
        assert!(text.contains("- `a` (optional; \"It does\"): By choice.\n"), "{text}");
    }
}

//! What the suite's results come to: counts, and whether they are good enough.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::{Failure, Outcome};

/// The caches that are tested, in the order of [`Results::each`].
pub(super) const ROLES: [&str; 2] = ["edge", "shield"];

/// One test's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) suite: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) result: Verdict,
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The standard asks for it.
    Required,
    /// It makes a better cache.
    Optional,
    /// The suite only wants to know.
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// A test that it builds on did not pass.
    Dep,
}

/// How many tests of one kind there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) pass: u32,
    pub(super) fail: u32,
    pub(super) dep: u32,
}

/// The rows of both caches.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) edge: Vec<Row>,
    pub(super) shield: Vec<Row>,
}

/// Reads the driver's rows.
pub(super) fn rows(json: &Value) -> Outcome<Vec<Row>> {
    let strange = || Failure::new("the suite's results are not as expected");
    let list = json.as_array().filter(|list| !list.is_empty()).ok_or_else(strange)?;
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        Some(Row {
            suite: text("suite")?,
            id: text("id")?,
            name: text("name")?,
            kind: match row["kind"].as_str()? {
                "required" => Kind::Required,
                "optional" => Kind::Optional,
                _ => Kind::Check,
            },
            result: match row["result"].as_str()? {
                "pass" => Verdict::Pass,
                "dep" => Verdict::Dep,
                _ => Verdict::Fail,
            },
            detail: text("detail")?,
        })
    };
    list.iter().map(|one| row(one).ok_or_else(strange)).collect()
}

/// Reads the sentences that explain tests: `id: sentence` a line, `#` begins a comment.
pub(super) fn explanations(text: &str) -> Outcome<BTreeMap<&str, &str>> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (id, sentence) = line
            .split_once(": ")
            .ok_or_else(|| Failure::new(format!("explained.txt: no sentence in `{line}`")))?;
        if all.insert(id, sentence).is_some() {
            return Err(Failure::new(format!("explained.txt: {id} is explained twice")));
        }
    }
    Ok(all)
}

impl Count {
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Row>, kind: Kind) -> Self {
        let mut count = Self::default();
        for row in rows.filter(|row| row.kind == kind) {
            match row.result {
                Verdict::Pass => count.pass += 1,
                Verdict::Fail => count.fail += 1,
                Verdict::Dep => count.dep += 1,
            }
        }
        count
    }

    pub(super) const fn all(self) -> u32 {
        self.pass + self.fail + self.dep
    }

    fn json(self) -> Value {
        json!({ "pass": self.pass, "fail": self.fail, "dep": self.dep })
    }
}

impl Results {
    pub(super) fn each(&self) -> [(&'static str, &[Row]); 2] {
        let [edge, shield] = ROLES;
        [(edge, &self.edge), (shield, &self.shield)]
    }

    /// The counts as `--json` writes them.
    pub(super) fn json(&self) -> Value {
        let mut all = serde_json::Map::new();
        for (role, rows) in self.each() {
            let count = |kind| Count::of(rows.iter(), kind).json();
            let kinds = json!({
                "required": count(Kind::Required),
                "optional": count(Kind::Optional),
            });
            all.insert(role.to_owned(), kinds);
        }
        Value::Object(all)
    }

    /// What is shown: the counts, and each test that did not pass.
    pub(super) fn table(&self) -> String {
        let mut text = String::from("                 pass  fail   dep   all\n");
        for (role, rows) in self.each() {
            for (kind, name) in [(Kind::Required, "required"), (Kind::Optional, "optional")] {
                let count = Count::of(rows.iter(), kind);
                let Count { pass, fail, dep } = count;
                let all = count.all();
                let _ = writeln!(text, "{role:<7}{name:<9}{pass:>5}{fail:>6}{dep:>6}{all:>6}");
            }
        }
        for (role, rows) in self.each() {
            for row in rows.iter().filter(|row| row.is_wanting()) {
                let kind = if row.kind == Kind::Required { "required" } else { "optional" };
                let Row { id, detail, .. } = row;
                let detail = if detail.is_empty() { "a test it builds on failed" } else { detail };
                let _ = writeln!(text, "{role:<7}{kind:<9} {id}: {detail}");
            }
        }
        text
    }

    /// The tests that either cache does not pass, each once.
    pub(super) fn wanting(&self) -> BTreeMap<&str, &Row> {
        let rows = self.edge.iter().chain(&self.shield).filter(|row| row.is_wanting());
        rows.map(|row| (row.id.as_str(), row)).collect()
    }

    /// Fails where a required test failed, or nobody says why another did not pass.
    pub(super) fn verdict(&self, explained: &BTreeMap<&str, &str>) -> Outcome {
        let wanting = self.wanting();
        let rows = self.edge.iter().chain(&self.shield);
        let failed = |row: &&Row| row.kind == Kind::Required && row.result == Verdict::Fail;
        if let Some(row) = rows.clone().find(failed) {
            let (count, first) = (rows.filter(failed).count(), &row.id);
            return Err(Failure::new(format!("{count} required tests failed, {first} first")));
        }
        match wanting.keys().find(|id| !explained.contains_key(**id)) {
            Some(id) => Err(Failure::new(format!(
                "{id} did not pass, and xtask/cache-tests/explained.txt does not say why"
            ))),
            None => Ok(()),
        }
    }
}

impl Row {
    fn is_wanting(&self) -> bool {
        self.kind != Kind::Check && self.result != Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    fn row(id: &str, kind: &str, result: &str) -> Value {
        json!({
            "suite": "s", "id": id, "name": "n", "kind": kind, "result": result, "detail": "d",
        })
    }

    fn results(edge: &[Value]) -> Results {
        let shield = [row("a", "required", "pass")];
        Results { edge: rows(&json!(edge)).unwrap(), shield: rows(&json!(shield)).unwrap() }
    }

    #[test]
    fn a_required_failure_fails_and_another_needs_a_sentence() {
        let explained = explanations("# why\nb: it is so.\n").unwrap();
        let fine = [row("a", "required", "pass"), row("b", "optional", "fail")];
        assert_eq!(results(&fine).verdict(&explained), Ok(()));
        let check = [row("a", "required", "pass"), row("d", "check", "fail")];
        assert_eq!(results(&check).verdict(&explained), Ok(()));
        for bad in [
            row("b", "required", "fail"),
            row("c", "required", "dep"),
            row("c", "optional", "fail"),
            row("c", "optional", "dep"),
        ] {
            assert!(results(&[bad]).verdict(&explained).is_err());
        }
        assert!(explanations("a: x\na: y").is_err());
        assert!(explanations("a").is_err());
        assert!(rows(&json!([])).is_err());
    }

    #[test]
    fn the_counts_are_written_by_role_and_kind() {
        let edge = [
            row("a", "required", "pass"),
            row("c", "required", "dep"),
            row("c", "optional", "fail"),
            row("d", "check", "fail"),
        ];
        let json = results(&edge).json();
        assert_eq!(json["edge"]["required"], json!({ "pass": 1, "fail": 0, "dep": 1 }));
        assert_eq!(json["edge"]["optional"], json!({ "pass": 0, "fail": 1, "dep": 0 }));
        assert_eq!(json["shield"]["required"], json!({ "pass": 1, "fail": 0, "dep": 0 }));
    }
}

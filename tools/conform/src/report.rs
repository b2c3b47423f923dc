//! What a check found, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::rule::{Level, Rule};
use crate::verdict::{Finding, Verdict};

/// How one rule came out.
pub struct Row {
    /// The rule.
    pub rule: &'static Rule,
    /// Its verdict.
    pub verdict: Verdict,
    /// The first places where it is broken.
    pub places: Vec<Finding>,
}

/// How a presentation came out.
pub struct Report {
    /// The manifest.
    pub url: String,
    /// `HLS` or `DASH`.
    pub protocol: &'static str,
    /// How many resources were fetched.
    pub fetched: usize,
    /// How many renditions there are.
    pub renditions: usize,
    /// How many segments were looked into.
    pub segments: usize,
    /// Whether those are all.
    pub complete: bool,
    /// One row a rule of the protocol.
    pub rows: Vec<Row>,
}

impl Row {
    fn word(&self) -> &'static str {
        match (self.verdict, self.rule.level) {
            (Verdict::Pass(_), _) => "pass",
            (Verdict::NotApplicable, _) => "n/a",
            (Verdict::Fail(_), Level::Must) => "FAIL",
            (Verdict::Fail(_), Level::Should) => "warn",
        }
    }
}

impl Report {
    /// Whether a MUST rule is broken; with `strict`, or any.
    pub fn failed(&self, strict: bool) -> bool {
        self.broken().any(|row| strict || row.rule.level == Level::Must)
    }

    /// The rules that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Fail(_)))
    }

    /// The row of a rule.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.rule.id == id)
    }

    /// A table: rule, section, level, verdict, and where it is broken. Without `all`, only what
    /// is broken is listed.
    pub fn table(&self, all: bool) -> String {
        let width = self.rows.iter().map(|row| row.rule.id.len()).max().unwrap_or(4);
        let section = |row: &Row| format!("{}, {}", row.rule.standard.name(), row.rule.section);
        let wide = self.rows.iter().map(|row| section(row).len()).max().unwrap_or(7);
        let mut text = format!("{:width$}  {:wide$}  {:6}  verdict\n", "rule", "section", "level");
        for row in &self.rows {
            let broken = matches!(row.verdict, Verdict::Fail(_));
            if !all && !broken {
                continue;
            }
            let (rule, section, level) = (row.rule.id, section(row), row.rule.level.word());
            let _ = writeln!(text, "{rule:width$}  {section:wide$}  {level:6}  {}", row.word());
            if broken {
                let _ = writeln!(text, "    {}", row.rule.says);
            }
            for place in &row.places {
                let _ = writeln!(text, "    - {}: {}", place.place, place.what);
            }
            if let Verdict::Fail(count) = row.verdict
                && count > row.places.len() as u64
            {
                let _ = writeln!(text, "    - and {} more", count - row.places.len() as u64);
            }
        }
        text.push_str(&self.summary());
        text
    }

    /// One line: what was looked at, and how it came out.
    pub fn summary(&self) -> String {
        let count = |word: &str| self.rows.iter().filter(|row| row.word() == word).count();
        format!(
            "{} {}: {} renditions, {} of their segments{}, {} resources; {} rules passed, {} failed, \
             {} warnings, {} not applicable",
            self.protocol,
            self.url,
            self.renditions,
            self.segments,
            if self.complete { " (all)" } else { "" },
            self.fetched,
            count("pass"),
            count("FAIL"),
            count("warn"),
            count("n/a"),
        )
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(json_row).collect();
        json!({
            "url": self.url,
            "protocol": self.protocol,
            "renditions": self.renditions,
            "segments": self.segments,
            "complete": self.complete,
            "resources": self.fetched,
            "failed": self.failed(false),
            "rules": rows,
        })
    }
}

fn json_row(row: &Row) -> Value {
    let (verdict, count) = match row.verdict {
        Verdict::Pass(count) => ("pass", count),
        Verdict::Fail(count) => ("fail", count),
        Verdict::NotApplicable => ("not-applicable", 0),
    };
    let places: Vec<Value> = row
        .places
        .iter()
        .map(|finding| json!({ "where": finding.place, "what": finding.what }))
        .collect();
    json!({
        "id": row.rule.id,
        "level": row.rule.level.word(),
        "standard": row.rule.standard.name(),
        "section": row.rule.section,
        "says": row.rule.says,
        "verdict": verdict,
        "count": count,
        "places": places,
    })
}

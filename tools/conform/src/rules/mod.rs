//! All rules, by what they look at. Each file is the rules of one part of one standard.

mod cmaf;
mod dash;
mod hls;
mod ts;

use std::fmt::Write as _;

use crate::rule::{Check, Rule};

const TABLES: [(&str, &[&[Rule]]); 4] = [
    ("HLS playlists", hls::TABLES),
    ("DASH manifests", dash::TABLES),
    ("Fragmented MP4, in HLS and in DASH", &[cmaf::RULES]),
    ("Transport streams", &[ts::RULES]),
];

/// Every rule.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    TABLES.iter().flat_map(|(_, tables)| tables.iter().copied().flatten())
}

/// The table of docs/conform.md.
pub fn markdown() -> String {
    let mut text = String::new();
    for (heading, tables) in TABLES {
        let _ = write!(
            text,
            "### {heading}\n\n| rule | standard | section | level | says |\n|---|---|---|---|---|\n"
        );
        for rule in tables.iter().copied().flatten() {
            let (standard, level) = (rule.standard.name(), rule.level.word());
            let _ = writeln!(
                text,
                "| `{}` | {standard} | {} | {level} | {} |",
                rule.id, rule.section, rule.says
            );
        }
        text.push('\n');
    }
    text
}

impl Rule {
    /// Whether it can apply to HLS, and whether to DASH.
    pub fn protocols(&self) -> (bool, bool) {
        match self.check {
            Check::Hls(_) => (true, false),
            Check::Dash(_) => (false, true),
            Check::Media(_) => (true, true),
        }
    }
}

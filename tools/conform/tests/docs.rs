//! docs/conform.md and the code list the same rules.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;

use headwater_conform::rules;

const BEGIN: &str = "<!-- The rules, from `cargo xtask conform --rules`: -->\n\n";

#[test]
fn the_documented_rules_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conform.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, documented) = text.split_once(BEGIN).expect("the mark before the rules");
    let real = rules::markdown();
    if std::env::var_os("HEADWATER_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}\n", real.trim_end())).unwrap();
        return;
    }
    assert!(
        documented.trim_end() == real.trim_end(),
        "docs/conform.md is not what the code says; HEADWATER_WRITE_DOCS=1 cargo test -p \
         headwater-conform --test docs writes it"
    );
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_sentence() {
    let mut known = BTreeSet::new();
    for rule in rules::all() {
        assert!(known.insert(rule.id), "{} is there twice", rule.id);
        assert!(
            rule.id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        assert!(rule.says.ends_with('.') && !rule.section.is_empty(), "{}", rule.id);
    }
    assert!(known.len() > 150, "{} rules", known.len());
}

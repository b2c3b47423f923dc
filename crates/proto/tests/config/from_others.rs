//! docs/from-nginx-and-varnish.md: every key that it names is one of docs/configuration.md.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../docs/from-nginx-and-varnish.md");
const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

/// The keys of the reference with their sections, such as `site.route.ttl`.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut section = "";
    for line in REFERENCE.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading.trim_matches(['[', ']', '`']);
        } else if let Some(row) = line.strip_prefix("| `") {
            let key = row.split('`').next().unwrap();
            known.insert(format!("{section}.{key}"));
        } else if let Some(of) = line.strip_prefix("Its keys and sections are those of `") {
            let of = format!("{}.", of.trim_matches(['[', ']', '`', '.']));
            let same = known.iter().filter_map(|key| key.strip_prefix(&of));
            let same: Vec<String> = same.map(|key| format!("{section}.{key}")).collect();
            known.extend(same);
        }
    }
    known
}

/// The cells of each row but the headings.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| cells.get(1) != Some(&"here")).collect()
}

#[test]
fn every_key_of_the_tables_is_in_the_reference() {
    let (known, rows) = (known(), rows());
    assert!(known.contains("policy.answer.status") && known.len() > 150, "{known:?}");
    assert!(rows.len() >= 60, "{} phrases", rows.len());
    let mut named = 0;
    for cells in rows {
        let [phrase, keys, says] = cells[..] else { panic!("{cells:?}") };
        if keys == "—" {
            continue;
        }
        for key in keys.split(", ") {
            let key = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'));
            let key = key.unwrap_or_else(|| panic!("{phrase}: '{keys}' is no list of keys"));
            assert!(known.contains(key), "{phrase}: there is no key {key} ({says})");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

//! Every rule: a presentation that keeps it, and one that breaks it and is told so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::format_push_string,
    clippy::semicolon_if_nothing_returned,
    clippy::many_single_char_names,
    clippy::trivially_copy_pass_by_ref,
    clippy::fn_params_excessive_bools,
    clippy::type_complexity,
    reason = "tests may fail loudly, and are no library"
)]

#[path = "rules/dash_cases.rs"]
mod dash_cases;
#[path = "rules/hls_cases.rs"]
mod hls_cases;
#[path = "rules/media_cases.rs"]
mod media_cases;
#[path = "rules/mp4.rs"]
mod mp4;
#[path = "rules/ts.rs"]
mod ts;
#[path = "rules/worlds.rs"]
mod worlds;

use std::collections::BTreeSet;

use headwater_conform::{Verdict, rules};
use worlds::World;

/// A rule, a presentation that keeps it, and what breaks it.
pub type Case = (&'static str, fn() -> World, fn(&mut World));

const GOOD: [(&str, fn() -> World); 8] = [
    ("hls", worlds::hls),
    ("hdr", worlds::hdr),
    ("fragments", worlds::fragments),
    ("live", worlds::live),
    ("transport", worlds::transport),
    ("dash", worlds::dash),
    ("on demand", worlds::on_demand),
    ("dynamic", worlds::dynamic),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    hls_cases::CASES.iter().chain(dash_cases::CASES).chain(media_cases::CASES)
}

#[test]
fn presentations_that_are_in_order_pass_every_rule() {
    let mut wrong = Vec::new();
    for (name, world) in GOOD {
        let report = world().check(&[]);
        if report.failed(true) {
            wrong.push(format!("{name}:\n{}", report.table(false)));
        }
        assert!(report.complete, "{}", report.summary());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_breach_is_found_and_told_with_its_place() {
    let mut missed = Vec::new();
    for (number, (rule, world, breach)) in cases().enumerate() {
        let mut world = world();
        let before = world.check(&[rule]);
        let verdict = before.row(rule).map(|row| row.verdict);
        if matches!(verdict, Some(Verdict::Fail(_))) {
            missed.push(format!("{number} {rule}: broken before the breach"));
        }
        breach(&mut world);
        let after = world.check(&[rule]);
        let Some(row) = after.row(rule) else {
            missed.push(format!("{number} {rule}: is not of this protocol"));
            continue;
        };
        match row.verdict {
            Verdict::Fail(_)
                if row.places.iter().all(|place| place.place.starts_with(worlds::BASE)) => {}
            verdict => missed.push(format!("{number} {rule}: {verdict:?} {:?}", row.places)),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn damaged_presentations_are_judged_and_never_panic() {
    // A seeded generator (Knuth's MMIX), so that a failure can be repeated.
    let mut state = 7u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    for (_, world) in GOOD {
        let mut whole = world();
        let urls: Vec<String> = whole.memory.urls().map(str::to_owned).collect();
        for _ in 0..40 {
            let mut touched = Vec::new();
            for _ in 0..4 {
                let url = &urls[random(urls.len())];
                let resource = whole.memory.resource(url).unwrap();
                touched.push((url.clone(), resource.bytes.clone()));
                let mut bytes = resource.bytes.to_vec();
                let end = bytes.len().min(2000);
                for _ in 0..=random(8) {
                    let at = random(end);
                    match random(4) {
                        0 => bytes.truncate(at),
                        1 => bytes.splice(at..at, [b'9'; 12]).for_each(drop),
                        2 => bytes[at] = 0xff,
                        _ => bytes[at] ^= 1 << random(8),
                    }
                    bytes.resize(bytes.len().max(end), 0);
                }
                resource.bytes = bytes.into();
            }
            // Either there is a report, or a reason why there is none.
            if let Some(report) = whole.try_check() {
                assert!(!report.rows.is_empty());
            }
            for (url, bytes) in touched.into_iter().rev() {
                whole.memory.resource(&url).unwrap().bytes = bytes;
            }
        }
    }
}

#[test]
fn every_rule_has_a_breach_here() {
    let tried: BTreeSet<&str> = cases().map(|(rule, ..)| *rule).collect();
    let without: Vec<&str> =
        rules::all().map(|rule| rule.id).filter(|id| !tried.contains(id)).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn every_rule_passes_somewhere_for_a_reason() {
    let mut never: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    for (_, world) in GOOD {
        for row in world().check(&[]).rows {
            if matches!(row.verdict, Verdict::Pass(_)) {
                never.remove(row.rule.id);
            }
        }
    }
    assert!(never.is_empty(), "nothing is looked at by {never:?}");
}

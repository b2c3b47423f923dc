//! Rules that a claimed profile brings (ISO/IEC 23009-1 §8).

use crate::dash::addressing::Kind;
use crate::dash::{Presentation, Representation};
use crate::media::movie::is_cmaf;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-profiles-form" Must Dash "5.3.1.2" "profiles is a list of URIs." Dash(form);
    "dash-live-profile" Must Dash "8.4" "With isoff-live, segments are not addressed by SegmentList, and sets of several representations have segmentAlignment." Dash(live);
    "dash-on-demand-profile" Must Dash "8.3" "With isoff-on-demand, the MPD is static, each representation is one file, and sets have subsegmentAlignment and subsegmentStartsWithSAP when they have several." Dash(on_demand);
    "dash-cmaf-profile" Must Dash "8" "With the CMAF profile, init segments and segments are CMAF." Dash(cmaf);
];

const LIVE: &str = "urn:mpeg:dash:profile:isoff-live:2011";
const ON_DEMAND: &str = "urn:mpeg:dash:profile:isoff-on-demand:2011";

fn form(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for claimed in mpd.get("profiles").unwrap_or("").split(',') {
        let claimed = claimed.trim();
        findings.expect(
            claimed.contains(':') && !claimed.contains(char::is_whitespace),
            || dash.at(mpd.line),
            || format!("`{claimed}`"),
        );
    }
}

/// How many representations are in the set of this one.
fn siblings(dash: &Presentation, found: &Representation) -> usize {
    let place = (found.period, found.set);
    dash.representations.iter().filter(|other| (other.period, other.set) == place).count()
}

fn is_true(found: &Representation, name: &str) -> bool {
    found.set_element.get(name).is_some_and(|value| matches!(value, "true" | "1"))
}

fn live(dash: &Presentation, findings: &mut Findings) {
    if !dash.claims(LIVE) {
        return;
    }
    for found in &dash.representations {
        let what = if found.addressing.kind == Kind::List {
            Some("they are")
        } else if siblings(dash, found) > 1 && !is_true(found, "segmentAlignment") {
            Some("its set has no segmentAlignment")
        } else {
            None
        };
        findings.expect(what.is_none(), || dash.representation(found), || what.unwrap_or(""));
    }
}

fn on_demand(dash: &Presentation, findings: &mut Findings) {
    if !dash.claims(ON_DEMAND) {
        return;
    }
    findings.expect(!dash.is_dynamic(), || dash.url.to_string(), || "it is dynamic");
    for found in &dash.representations {
        let starts = found.set_element.number("subsegmentStartsWithSAP").is_some_and(|sap| sap > 0);
        let what = if found.addressing.kind != Kind::Base {
            Some("it is not one file")
        } else if siblings(dash, found) > 1 && !(is_true(found, "subsegmentAlignment") && starts) {
            Some("its set lacks subsegmentAlignment or subsegmentStartsWithSAP")
        } else {
            None
        };
        findings.expect(what.is_none(), || dash.representation(found), || what.unwrap_or(""));
    }
}

fn cmaf(dash: &Presentation, findings: &mut Findings) {
    let claims = ["urn:mpeg:dash:profile:cmaf:2019", "urn:mpeg:dash:profile:cmaf-extended:2019"];
    if !claims.iter().any(|profile| dash.claims(profile)) {
        return;
    }
    for found in &dash.representations {
        for (place, movie) in found.stream.movies() {
            findings.expect(
                is_cmaf(&movie.brands),
                || place,
                || format!("brands {:?}", movie.brands),
            );
        }
    }
}

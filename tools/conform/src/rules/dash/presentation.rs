//! Rules about the MPD element and periods (ISO/IEC 23009-1 §5.3.1, §5.3.2).

use crate::dash::Presentation;
use crate::dash::values::duration;
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-mpd-required" Must Dash "5.3.1.2" "MPD has profiles, minBufferTime and a Period." Dash(required);
    "dash-static-length" Must Dash "5.3.1.2" "A static MPD has a mediaPresentationDuration, or its last Period a duration." Dash(static_length);
    "dash-static-only" Must Dash "5.3.1.2" "A static MPD has no minimumUpdatePeriod, timeShiftBufferDepth or suggestedPresentationDelay." Dash(static_only);
    "dash-dynamic-times" Must Dash "5.3.1.2" "A dynamic MPD has availabilityStartTime and publishTime." Dash(dynamic_times);
    "dash-period-start" Must Dash "5.3.2.1" "Periods start one after the other: the first at PT0S in a static MPD, none before the one before." Dash(period_start);
    "dash-period-ids" Must Dash "5.3.2.2" "Period ids are unique, and all there in a dynamic MPD." Dash(period_ids);
    "dash-period-sets" Must Dash "5.3.2.2" "A Period has adaptation sets, and each has a representation." Dash(period_sets);
    "dash-resources" Must Dash "5.6" "Everything that the MPD names can be fetched." Dash(resources);
    "dash-mime" Should Dash "Annex C" "An MPD is delivered as application/dash+xml." Dash(mime);
    "dash-max-segment" Must Dash "5.3.1.2" "No segment is longer than maxSegmentDuration." Dash(max_segment);
];

fn required(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for name in ["profiles", "minBufferTime"] {
        let has = mpd.get(name).is_some_and(|value| !value.trim().is_empty());
        findings.expect(has, || dash.at(mpd.line), || format!("there is no {name}"));
    }
    let has = mpd.child("Period").is_some();
    findings.expect(has, || dash.at(mpd.line), || "there is no Period");
}

fn static_length(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd().filter(|_| !dash.is_dynamic()) else { return };
    let last = mpd.all("Period").last().is_some_and(|period| period.get("duration").is_some());
    let whole = mpd.get("mediaPresentationDuration").is_some();
    findings.expect(whole || last, || dash.at(mpd.line), || "there is neither");
}

fn static_only(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd().filter(|_| !dash.is_dynamic()) else { return };
    for name in ["minimumUpdatePeriod", "timeShiftBufferDepth", "suggestedPresentationDelay"] {
        let absent = mpd.get(name).is_none();
        findings.expect(absent, || dash.at(mpd.line), || format!("there is {name}"));
    }
}

fn dynamic_times(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd().filter(|_| dash.is_dynamic()) else { return };
    for name in ["availabilityStartTime", "publishTime"] {
        let has = mpd.get(name).is_some();
        findings.expect(has, || dash.at(mpd.line), || format!("there is no {name}"));
    }
}

fn period_start(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    let mut before: Option<f64> = None;
    for (number, period) in mpd.all("Period").enumerate() {
        let start = period.get("start").and_then(duration);
        let what = match (start, before) {
            (Some(start), None) if number == 0 && start > 0.0 && !dash.is_dynamic() => {
                Some(format!("the first starts at {start} s"))
            }
            (Some(start), Some(before)) if start < before => {
                Some(format!("it starts at {start} s, and the one before at {before} s"))
            }
            _ => None,
        };
        before = start.or(before);
        findings.expect(
            what.is_none(),
            || dash.at(period.line),
            || what.clone().unwrap_or_default(),
        );
    }
}

fn period_ids(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    let mut known: Vec<&str> = Vec::new();
    for period in mpd.all("Period") {
        match period.get("id") {
            Some(id) => {
                let again = known.contains(&id);
                known.push(id);
                findings.expect(!again, || dash.at(period.line), || format!("`{id}` again"));
            }
            None if dash.is_dynamic() => findings.broke(dash.at(period.line), "there is none"),
            None => {}
        }
    }
}

fn period_sets(dash: &Presentation, findings: &mut Findings) {
    let Some(mpd) = dash.mpd() else { return };
    for period in mpd.all("Period") {
        // A remote period, or one that is announced, has nothing yet.
        if period.get("xlink:href").is_some()
            || (dash.is_dynamic() && period.get("start").is_none())
        {
            continue;
        }
        let has = period.child("AdaptationSet").is_some();
        findings.expect(has, || dash.at(period.line), || "there is no AdaptationSet");
        for set in period.all("AdaptationSet") {
            let has = set.child("Representation").is_some() || set.get("xlink:href").is_some();
            findings.expect(has, || dash.at(set.line), || "there is no Representation");
        }
    }
}

fn resources(dash: &Presentation, findings: &mut Findings) {
    for (place, why) in &dash.missing {
        findings.broke(place, why);
    }
    if dash.root.is_ok() {
        findings.seen();
    }
}

fn mime(dash: &Presentation, findings: &mut Findings) {
    if dash.answer.gzipped.is_none() {
        return;
    }
    let mime = dash.answer.content_type.as_deref().unwrap_or("");
    let good = mime.split(';').next().unwrap_or("").trim() == "application/dash+xml";
    findings.expect(good, || dash.url.to_string(), || format!("it is `{mime}`"));
}

fn max_segment(dash: &Presentation, findings: &mut Findings) {
    let stated = dash.mpd().and_then(|mpd| mpd.get("maxSegmentDuration")).and_then(duration);
    let Some(stated) = stated else { return };
    for found in &dash.representations {
        for segment in &found.stream.segments {
            let Some(span) = segment.main_span(&found.stream).filter(|span| span.exact) else {
                continue;
            };
            let real = span.duration_seconds();
            // What is written has at least milliseconds.
            let what = || format!("{real:.6} s, and {stated} s are stated");
            findings.expect(real <= stated + 0.001, || &segment.place, what);
        }
    }
}

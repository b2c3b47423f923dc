//! Rules about segment addressing and timelines (ISO/IEC 23009-1 §5.3.9).

use crate::dash::addressing::Kind;
use crate::dash::template::{Values, fill};
use crate::dash::{Presentation, Representation};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

pub(super) static RULES: &[Rule] = rules![
    "dash-template-identifiers" Must Dash "5.3.9.4.4" "Templates have identifiers that exist, with widths of the form %0[width]d." Dash(identifiers);
    "dash-template-changes" Must Dash "5.3.9.4.4" "SegmentTemplate@media has $Number$ or $Time$, and not both, when there is more than one segment." Dash(changes);
    "dash-template-time" Must Dash "5.3.9.4.2" "$Time$ is used with a SegmentTimeline." Dash(time_needs_timeline);
    "dash-template-duration" Must Dash "5.3.9.2.2" "Several segments have a SegmentTimeline or a duration, and not both." Dash(duration);
    "dash-initialization" Must Dash "6.2.2" "Fragmented MP4 has an initialization segment." Dash(initialization);
    "dash-timeline-entries" Must Dash "5.3.9.6.2" "Entries of a SegmentTimeline have a duration, follow each other without overlap, and repeat without end only at the end or before a time." Dash(entries);
    "dash-timeline-gaps" Should Dash "5.3.9.6" "A SegmentTimeline has no gaps." Dash(gaps);
    "dash-timeline-length" Should Dash "5.3.9.6" "The segments of a representation cover the period, to within half a second." Dash(length);
    "dash-offset" Should Dash "5.3.9.2.2" "presentationTimeOffset is within the first segment of the period." Dash(offset);
];

fn templates(dash: &Presentation) -> impl Iterator<Item = &Representation> {
    dash.representations.iter().filter(|found| found.addressing.kind == Kind::Template)
}

fn identifiers(dash: &Presentation, findings: &mut Findings) {
    for found in templates(dash) {
        let addressing = &found.addressing;
        let bandwidth = found.bandwidth().unwrap_or(0);
        let values =
            Values { representation: &found.id, bandwidth, number: Some(1), time: Some(1) };
        let init = Values { number: None, time: None, ..values };
        for (template, values) in [(&addressing.media, values), (&addressing.initialization, init)]
        {
            let Some(template) = template else { continue };
            let error = fill(template, values).err();
            findings.expect(
                error.is_none(),
                || dash.at(addressing.line),
                || format!("{template}: {}", error.clone().unwrap_or_default()),
            );
        }
    }
}

/// Whether a template has an identifier, with or without a width.
fn has(template: &str, identifier: &str) -> bool {
    let inside = template.split('$').skip(1).step_by(2);
    inside.map(|found| found.split('%').next().unwrap_or("")).any(|found| found == identifier)
}

fn changes(dash: &Presentation, findings: &mut Findings) {
    for found in templates(dash) {
        let Some(media) = &found.addressing.media else {
            findings.broke(dash.at(found.addressing.line), "there is no media");
            continue;
        };
        let (number, time) = (has(media, "Number"), has(media, "Time"));
        let several = found.segments.len() > 1;
        findings.expect(
            (number != time) || (!several && !number && !time),
            || dash.at(found.addressing.line),
            || media.clone(),
        );
    }
}

fn time_needs_timeline(dash: &Presentation, findings: &mut Findings) {
    for found in templates(dash) {
        if found.addressing.media.as_ref().is_some_and(|media| has(media, "Time")) {
            let timeline = found.addressing.timeline.is_some();
            findings.expect(timeline, || dash.at(found.addressing.line), || "there is none");
        }
    }
}

fn duration(dash: &Presentation, findings: &mut Findings) {
    for found in templates(dash) {
        let addressing = &found.addressing;
        let (timeline, duration) = (addressing.timeline.is_some(), addressing.duration.is_some());
        findings.expect(
            timeline != duration,
            || dash.at(addressing.line),
            || if timeline { "there are both" } else { "there is neither" },
        );
    }
}

fn initialization(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let fragmented = found.stream.segments.iter().any(|segment| segment.fragments().is_some());
        if fragmented {
            let readable = found.stream.movies().next().is_some();
            let what = || "there is none, or it cannot be read";
            findings.expect(readable, || dash.representation(found), what);
        }
    }
}

/// Each timeline once, though many representations may share one.
fn timelines(dash: &Presentation) -> impl Iterator<Item = &Representation> {
    let mut known: Vec<usize> = Vec::new();
    dash.representations.iter().filter(move |found| {
        let line = found.addressing.line;
        let fresh = !known.contains(&line);
        known.push(line);
        fresh && found.addressing.timeline.is_some()
    })
}

/// Calls `each` with a line and how far its entry is from where the one before ended.
fn steps(found: &Representation, mut each: impl FnMut(usize, i128)) {
    let mut clock: Option<u64> = None;
    for entry in found.addressing.timeline.iter().flatten() {
        if let (Some(time), Some(clock)) = (entry.time, clock) {
            each(entry.line, i128::from(time) - i128::from(clock));
        }
        let start = entry.time.or(clock).unwrap_or(0);
        clock = u64::try_from(entry.repeat).ok().map(|repeat| {
            start.saturating_add(entry.duration.saturating_mul(repeat.saturating_add(1)))
        });
    }
}

fn entries(dash: &Presentation, findings: &mut Findings) {
    for found in timelines(dash) {
        let list = found.addressing.timeline.as_deref().unwrap_or(&[]);
        for (index, entry) in list.iter().enumerate() {
            let next = list.get(index + 1);
            let endless = entry.repeat < 0 && next.is_some_and(|next| next.time.is_none());
            let what = if entry.duration == 0 {
                Some("there is no duration")
            } else {
                endless.then_some("it repeats without end, and another follows")
            };
            findings.expect(what.is_none(), || dash.at(entry.line), || what.unwrap_or(""));
        }
        steps(found, |line, step| {
            let what = || format!("it begins {} ticks before the one before ends", -step);
            findings.expect(step >= 0, || dash.at(line), what);
        });
    }
}

fn gaps(dash: &Presentation, findings: &mut Findings) {
    for found in timelines(dash) {
        findings.seen();
        steps(found, |line, step| {
            findings.expect(step <= 0, || dash.at(line), || format!("{step} ticks are missing"));
        });
    }
}

fn length(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let (Some(period), false) = (found.duration, dash.is_dynamic()) else { continue };
        let exact = found.segments.iter().all(|segment| segment.ticks.is_some());
        let ends = found.segments.iter().filter_map(|segment| {
            let end = segment.time?.saturating_add(segment.ticks?);
            Some(found.seconds(end as f64 - found.addressing.offset as f64))
        });
        let end = ends.fold(f64::NEG_INFINITY, f64::max);
        if exact && end.is_finite() {
            let what = || format!("they end at {end:.3} s, the period at {period:.3} s");
            let near = (end - period).abs() <= 0.5;
            findings.expect(near, || dash.representation(found), what);
        }
    }
}

fn offset(dash: &Presentation, findings: &mut Findings) {
    for found in &dash.representations {
        let Some(first) = found.segments.first() else { continue };
        let (Some(time), Some(ticks)) = (first.time, first.ticks) else { continue };
        if dash.is_dynamic() {
            continue;
        }
        let offset = found.addressing.offset;
        // Sound may begin a frame after.
        let slack = found.addressing.timescale / 10;
        let inside = offset.saturating_add(slack) >= time && offset < time.saturating_add(ticks);
        findings.expect(
            inside,
            || dash.representation(found),
            || {
                format!(
                    "it is {offset}, and the first segment {time} to {}",
                    time.saturating_add(ticks)
                )
            },
        );
    }
}

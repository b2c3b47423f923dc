//! Rules about transport streams (ISO/IEC 13818-1 §2.4; RFC 8216bis §3.1.1).

use crate::media::transport::{Transport, after};
use crate::media::{Kind, Segment, Stream};
use crate::rule::{Rule, rules};
use crate::verdict::Findings;

/// §2.7.2: two PCRs of a program are at most this far from each other, in ticks of 90 kHz; a
/// segment may begin between two.
const PCR_GAP: u64 = 9000;

/// The longest step from the last unit of a segment to the first of the next, in ticks of 90 kHz:
/// half a second, for a PES packet may hold many frames of sound.
const MAX_STEP: u64 = 45_000;

pub(super) static RULES: &[Rule] = rules![
    "ts-sync" Must Ts "2.4.3.2" "A segment is whole packets of 188 bytes, each beginning with 0x47." Media(sync);
    "ts-tables" Must Hls "3.1.1" "A segment has a PAT and a PMT, before anything of what they list." Media(tables);
    "ts-one-program" Must Hls "3.1.1" "A segment contains a single program." Media(one_program);
    "ts-continuity" Must Ts "2.4.3.3" "The continuity counter of each PID goes up by one from packet to packet, within a segment." Media(continuity);
    "ts-continuity-across" Must Apple "7.2" "Continuity counters go on from segment to segment." Media(continuity_across);
    "ts-pcr" Must Ts "2.7.2" "The program's PID for clock references has one at least every 100 ms." Media(pcr);
    "ts-decode-order" Must Ts "2.4.3.7" "Decode times of a stream only grow, and every unit that begins a PES packet has a time." Media(decode_order);
    "ts-timestamps-across" Must Apple "7.2" "The times of a segment follow those of the segment before." Media(times_across);
    "ts-video-start" Must Apple "7.4" "The video of a segment starts with an IDR picture." Media(video_start);
    "ts-no-hevc" Must Apple "1.5" "HEVC is carried in fragmented MP4 only." Media(no_hevc);
];

fn each(stream: &Stream) -> impl Iterator<Item = (&Segment, &Transport)> {
    stream.segments.iter().filter_map(|segment| Some((segment, segment.transport()?)))
}

fn sync(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream) {
        findings.expect(
            ts.unsynced == 0 && ts.trailing == 0,
            || &segment.place,
            || {
                format!(
                    "{} of {} packets do not begin with 0x47, {} bytes are left over",
                    ts.unsynced, ts.packets, ts.trailing
                )
            },
        );
    }
}

fn tables(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream) {
        let what = match (ts.pat_at, ts.pmt_at, ts.media_at) {
            (None, ..) => Some("there is no PAT"),
            (_, None, _) => Some("there is no PMT"),
            (Some(pat), Some(pmt), media)
                if pmt < pat || media.is_some_and(|media| media < pmt) =>
            {
                Some("the PAT and the PMT do not come first")
            }
            _ => None,
        };
        findings.expect(what.is_none(), || &segment.place, || what.unwrap_or(""));
    }
}

fn one_program(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream).filter(|(_, ts)| ts.pat_at.is_some()) {
        let count = ts.programs;
        findings.expect(count == 1, || &segment.place, || format!("{count} programs"));
    }
}

fn continuity(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream) {
        let broken: Vec<_> = ts.counters().filter(|(_, counter)| counter.breaks > 0).collect();
        for (pid, counter) in &broken {
            let what = format!("PID {pid:#x}: the counter jumps {} times", counter.breaks);
            findings.broke(&segment.place, what);
        }
        if broken.is_empty() {
            findings.seen();
        }
    }
}

fn continuity_across(stream: &Stream, findings: &mut Findings) {
    for (before, after) in stream.pairs() {
        let (Some(first), Some(second)) = (before.transport(), after.transport()) else { continue };
        for (pid, counter) in first.counters() {
            let Some(next) = second.counter(pid) else { continue };
            let expected = (counter.last + 1) & 0xf;
            findings.expect(
                next.first == expected,
                || &after.place,
                || {
                    format!(
                        "PID {pid:#x} begins at {}, and the segment before ends at {}",
                        next.first, counter.last
                    )
                },
            );
        }
    }
}

fn pcr(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream).filter(|(_, ts)| ts.pmt_at.is_some()) {
        let what = if ts.pcrs == 0 {
            Some("there is no clock reference".to_owned())
        } else {
            (ts.pcr_gap > PCR_GAP).then(|| format!("{} ms without one", ts.pcr_gap / 90))
        };
        findings.expect(what.is_none(), || &segment.place, || what.clone().unwrap_or_default());
    }
}

fn decode_order(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream) {
        for inner in ts.streams().filter(|inner| inner.kind() != Kind::Other) {
            let (backward, untimed) = (inner.backward(), inner.untimed);
            findings.expect(
                backward == 0 && untimed == 0,
                || &segment.place,
                || {
                    let pid = inner.pid;
                    format!(
                        "PID {pid:#x}: {backward} units go back in time, {untimed} have no time"
                    )
                },
            );
        }
    }
}

fn times_across(stream: &Stream, findings: &mut Findings) {
    for (before, second) in stream.pairs() {
        let (Some(first), Some(next)) = (before.transport(), second.transport()) else { continue };
        for inner in first.streams().filter(|inner| inner.kind() != Kind::Other) {
            let follower = next.streams().find(|other| other.pid == inner.pid);
            let begin = follower.and_then(|other| other.decode.first().copied());
            let (Some(last), Some(begin)) = (inner.decode.last().copied(), begin) else { continue };
            let ahead = begin.wrapping_sub(last) % (1 << 33);
            findings.expect(
                // Single pictures are as far from each other as they were made.
                after(last, begin) && (stream.pictures || ahead < MAX_STEP),
                || &second.place,
                || {
                    let (pid, last, begin) = (inner.pid, seconds(last), seconds(begin));
                    format!("PID {pid:#x} begins at {begin:.3} s, its last unit before is at {last:.3} s")
                },
            );
        }
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 90_000.0
}

fn video_start(stream: &Stream, findings: &mut Findings) {
    for (segment, _) in each(stream) {
        for span in segment.spans(stream).iter().filter(|span| span.kind == Kind::Video) {
            let Some(starts) = span.random_access else { continue };
            findings.expect(starts, || &segment.place, || "it starts with another picture");
        }
    }
}

fn no_hevc(stream: &Stream, findings: &mut Findings) {
    for (segment, ts) in each(stream) {
        let hevc = ts.streams().any(|inner| inner.stream_type == 0x24);
        findings.expect(!hevc, || &segment.place, || "a stream of type 0x24");
    }
}

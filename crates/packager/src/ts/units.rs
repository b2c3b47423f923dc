//! The PES packets of one track's segment, before anything of its samples is read.

use super::clock::Clock;
use super::packet::{Adaptation, packets};
use super::pes::Stamps;
use super::sound::Grouping;
use super::stream::Stream;
use crate::index::{Sample, Samples};
use crate::units::Timescale;

/// The clock is never silent for longer, in ticks of 90 kHz (ISO/IEC 13818-1 §2.7.2).
pub(super) const CLOCK_INTERVAL: u64 = 9_000;

/// What one PES packet carries: a picture, or a few frames of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) stamps: Stamps,
    /// When the next one is decoded, in ticks of 90 kHz.
    pub(super) end: u64,
    pub(super) sync: bool,
    /// How many samples.
    pub(super) samples: u32,
    /// Bytes after the PES header, as long as samples keep their lengths.
    pub(super) payload: usize,
}

impl Unit {
    /// A picture that is decoded when it is shown, with no other after it.
    pub(super) fn still(stream: &Stream, stamp: u64, size: u32) -> Self {
        let stamps = Stamps { pts: stamp, dts: stamp };
        let payload = prefix(stream, true) + size as usize;
        Self { stamps, end: stamp, sync: true, samples: 1, payload }
    }

    /// How many packets it takes.
    pub(super) fn packets(&self, clocked: bool) -> usize {
        let clock = clocked.then_some(0);
        let first = Adaptation { clock, random_access: false };
        packets(self.stamps.header_len() + self.payload, first)
    }

    /// How often the clock is told between it and its end, where nothing else tells it.
    pub(super) fn waits(&self) -> u64 {
        self.end.saturating_sub(self.stamps.dts).saturating_sub(1) / CLOCK_INTERVAL
    }
}

/// The samples of one segment as [`Unit`]s.
#[derive(Debug, Clone)]
pub(super) struct Units<'a> {
    stream: &'a Stream,
    clock: Clock,
    samples: Samples<'a>,
    pending: Option<Sample>,
    grouping: Option<Grouping>,
    /// Output decode time minus the source's, in ticks of the track.
    shift: i64,
    lead: i32,
}

impl<'a> Units<'a> {
    /// Of samples whose first is decoded at `decode_time` on the output's timeline, and whose
    /// composition offsets are `lead` too large.
    pub(super) fn new(
        stream: &'a Stream,
        timescale: Timescale,
        mut samples: Samples<'a>,
        decode_time: u64,
        lead: i32,
    ) -> Self {
        let pending = samples.next();
        let first = pending.map_or(0, |sample| sample.dts);
        let shift = i64::try_from(decode_time).unwrap_or(i64::MAX).saturating_sub(first);
        let grouping = Grouping::new(stream, timescale);
        Self { stream, clock: Clock::new(timescale), samples, pending, grouping, shift, lead }
    }

    fn time(&self, time: i64) -> u64 {
        u64::try_from(time.saturating_add(self.shift)).unwrap_or(0)
    }

    fn picture(&self, sample: Sample) -> Unit {
        let shown = sample.cts().saturating_sub(i64::from(self.lead));
        let stamps = Stamps {
            pts: self.clock.stamp(self.time(shown)),
            dts: self.clock.stamp(self.time(sample.dts)),
        };
        Unit {
            stamps,
            end: self.clock.stamp(self.time(sample.dts + i64::from(sample.duration))),
            sync: sample.sync,
            samples: 1,
            payload: prefix(self.stream, sample.sync) + sample.size as usize,
        }
    }
}

/// Bytes before the sample of a picture.
fn prefix(stream: &Stream, sync: bool) -> usize {
    match stream {
        Stream::Avc(avc) => avc.prefix_len(sync),
        _ => 0,
    }
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let first = self.pending.take()?;
        let Some(mut grouping) = self.grouping.take() else {
            self.pending = self.samples.next();
            return Some(self.picture(first));
        };
        let time = self.time(first.dts);
        grouping.add(time, first.size, first.duration);
        let header = self.stream.frame_header();
        let stamp = self.clock.stamp(time);
        let mut unit = Unit {
            stamps: Stamps { pts: stamp, dts: stamp },
            end: 0,
            sync: true,
            samples: 1,
            payload: first.size as usize + header,
        };
        let mut last = first;
        for sample in self.samples.by_ref() {
            // Where it begins a packet, the next round begins with the same grouping anew.
            let time = u64::try_from(sample.dts.saturating_add(self.shift)).unwrap_or(0);
            if grouping.add(time, sample.size, sample.duration) {
                self.pending = Some(sample);
                break;
            }
            unit.samples += 1;
            unit.payload += sample.size as usize + header;
            last = sample;
        }
        unit.end = self.clock.stamp(self.time(last.dts + i64::from(last.duration)));
        self.grouping = Some(grouping.anew());
        Some(unit)
    }
}

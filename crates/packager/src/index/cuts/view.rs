//! The tables of a track as its pieces present it, made sample by sample.

use super::pieces::{Piece, Pieces};
use crate::index::joined::JoinedTrack;
use crate::index::{Sample, TrackIndex, TrackSamples};
use crate::report::Report;
use crate::units::{MediaTime, Timescale};

/// Samples past a time among which one of reordered pictures may lie that is presented before it.
const REORDERED: u32 = 64;

/// Why a list is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It makes too many samples.
    Samples,
    /// A sample of it would be decoded, presented or last out of bounds.
    Times,
    /// No sample lies in it.
    Nothing,
}

impl Refused {
    /// In words, where at most `most` samples are made of `own`.
    pub(super) fn says(self, most: u32, own: u32) -> String {
        match self {
            Self::Samples => {
                format!("its edit list makes more than {most} samples of its {own}")
            }
            Self::Times => "its edit list gives its samples times that are out of range".to_owned(),
            Self::Nothing => "its edit list plays none of its samples".to_owned(),
        }
    }
}

/// A track as it is presented.
pub(super) struct View {
    pub(super) joined: JoinedTrack,
    /// When its first sample is decoded, where the first piece keeps its own times.
    pub(super) start: i64,
    /// What was lost, in ticks of the track: pictures after jumps, all together and at most.
    held: i64,
    longest_hold: i64,
    /// How many samples are left out before the first piece.
    late: u32,
    video: bool,
    timescale: Timescale,
}

/// The sync sample that is decoded for the picture at composition time `from`, 0 where none is at
/// or before it; and how long before that it is presented.
pub(super) fn lead_in(track: &TrackIndex, from: i64) -> (u32, i64) {
    let samples = &track.samples;
    let near = samples.at_or_after(from.saturating_sub(track.start)).saturating_add(REORDERED);
    let first = samples.range(0..1).next().map_or(0, |sample| sample.cts());
    let (number, time) = samples
        .sync_times(0..near)
        .into_iter()
        .rfind(|(_, time)| track.start + time <= from)
        .unwrap_or((0, first));
    (number, (from - track.start - time).max(0))
}

impl View {
    /// Looks at no more samples than are `left`, of which it takes what it looks at.
    pub(super) fn of(
        track: &TrackIndex,
        pieces: &[Piece],
        lead: MediaTime,
        left: &mut u32,
    ) -> Result<Self, Refused> {
        let mut maker = Maker {
            samples: &track.samples,
            start: track.start,
            zero: pieces.first().ok_or(Refused::Nothing)?.from,
            sync: Vec::new(),
            slack: half_millisecond(track.timescale),
            out: JoinedTrack::new(track.number),
            chunk: None,
            first: None,
            last: None,
            moved: false,
            end: i64::MIN,
            went_on: None,
            left,
            held: 0,
            longest_hold: 0,
        };
        let lead = lead.rescale_up(track.timescale).ok_or(Refused::Times)?.ticks();
        let late = if track.is_video() {
            maker.sync = maker.sync_times();
            lead_in(track, maker.zero).0
        } else {
            track.samples.at_or_after(maker.zero.saturating_sub(track.start).saturating_sub(lead))
        };
        let count = pieces.len();
        for (number, piece) in pieces.iter().enumerate() {
            let place = Place { is_first: number == 0, is_last: number + 1 == count, late };
            match (track.is_video(), piece.still) {
                (true, false) => maker.pictures(piece, place)?,
                (true, true) => maker.dwell(piece, place)?,
                (false, false) => maker.sound(piece, place)?,
                (false, true) => {}
            }
        }
        let end =
            pieces.last().and_then(|last| Some((last.at, last.still, last.until? - last.from)));
        let held_until = end.filter(|end| end.1).map(|(at, _, long)| maker.zero + at + long);
        maker.finish(held_until)?;
        Ok(Self {
            start: maker.first.ok_or(Refused::Nothing)?,
            joined: maker.out,
            held: maker.held,
            longest_hold: maker.longest_hold,
            late,
            video: track.is_video(),
            timescale: track.timescale,
        })
    }

    /// Says what became of the list.
    pub(super) fn tell(&self, number: u32, pieces: &Pieces, report: &mut Report) {
        if self.late > 0 {
            let message = format!(
                "{} of its samples before the start of its edit list are left out",
                self.late
            );
            report.info(Some(number), message);
        }
        let count = pieces.list.len();
        if count < 2 {
            return;
        }
        let seconds = |ticks: i64| MediaTime::new(ticks, self.timescale).seconds(3).to_string();
        if self.held > 0 {
            report.warn(
                Some(number),
                format!(
                    "its edit list plays {count} pieces of it, not all from a sync sample on: {} s \
                     of pictures after cuts are left out, and the picture before a cut stays for \
                     up to {} s; to have them cut there exactly, transcode it",
                    seconds(self.held),
                    seconds(self.longest_hold),
                ),
            );
        } else {
            let how = if self.video { "at sync samples" } else { "between frames" };
            report.info(
                Some(number),
                format!("its edit list plays {count} pieces of it, which are cut {how}"),
            );
        }
    }
}

/// Half a millisecond in ticks, 0 where a tick is longer: how far a sample may be moved to where the
/// one before it ends. Times of the list are the nearest ticks as they are.
fn half_millisecond(timescale: Timescale) -> i64 {
    i64::from(timescale.get() / 2_000)
}

/// Which piece of all it is, and how many samples the first one passes over.
#[derive(Debug, Clone, Copy)]
struct Place {
    is_first: bool,
    is_last: bool,
    late: u32,
}

/// A table in the making. Times are composition and decode times on the line on which the first
/// piece keeps its own.
struct Maker<'a> {
    samples: &'a TrackSamples,
    /// When the first sample of the source is decoded.
    start: i64,
    /// Where the first piece starts.
    zero: i64,
    /// Sync samples with their composition times, both increasing.
    sync: Vec<(u32, i64)>,
    slack: i64,
    out: JoinedTrack,
    /// Samples that lie one after the other: where they start and end, and how many.
    chunk: Option<(u64, u64, u32)>,
    /// When the first sample is decoded.
    first: Option<i64>,
    /// The newest sample, whose duration the next one settles.
    last: Option<Sample>,
    /// It is decoded later than it was.
    moved: bool,
    /// When the presentation of the newest sample ends.
    end: i64,
    /// The sample after the newest piece, and the composition time in the source where that ended.
    went_on: Option<(u32, i64)>,
    /// How many samples may still be looked at.
    left: &'a mut u32,
    held: i64,
    longest_hold: i64,
}

impl Maker<'_> {
    fn sync_times(&self) -> Vec<(u32, i64)> {
        let mut latest = i64::MIN;
        let mut times = self.samples.sync_times(0..self.samples.count());
        times.retain_mut(|(_, time)| {
            *time += self.start;
            let later = *time > latest;
            latest = latest.max(*time);
            later
        });
        times
    }

    /// What is added to the source's times in a piece.
    fn shift(&self, piece: &Piece) -> i64 {
        self.zero + piece.at - piece.from
    }

    /// Where the piece before went on to, if this one goes on there.
    fn goes_on(&self, piece: &Piece) -> Option<u32> {
        let (number, until) = self.went_on?;
        (piece.from.abs_diff(until) <= self.slack.unsigned_abs()).then_some(number)
    }

    fn pictures(&mut self, piece: &Piece, place: Place) -> Result<(), Refused> {
        let Piece { from, until, .. } = *piece;
        let shift = self.shift(piece);
        // The number of the sample to go on with, and before what time pictures lead it.
        let (number, leading) = if place.is_first {
            let at = self.sync.iter().find(|(number, _)| *number == place.late && place.late > 0);
            (place.late, at.map_or(i64::MIN, |(_, time)| *time))
        } else if let Some(number) = self.goes_on(piece) {
            (number, i64::MIN)
        } else {
            let next = self.sync.partition_point(|(_, time)| *time < from - self.slack);
            let next = self.sync.get(next).copied();
            let found = next.filter(|(_, time)| until.is_none_or(|until| *time < until));
            let hold = found.map(|(_, time)| time).or(until).map_or(0, |time| time - from);
            if hold > self.slack {
                self.held += hold;
                self.longest_hold = self.longest_hold.max(hold);
            }
            self.went_on = None;
            let Some(found) = found else { return Ok(()) };
            found
        };
        self.take(number, shift, place, until, |time| time < leading)
    }

    fn sound(&mut self, piece: &Piece, place: Place) -> Result<(), Refused> {
        let shift = self.shift(piece);
        let number = if place.is_first {
            place.late
        } else if let Some(number) = self.goes_on(piece) {
            number
        } else {
            self.samples.at_or_after(piece.from - self.start - self.slack)
        };
        let earliest =
            if place.is_first { i64::MIN } else { self.end.max(self.zero + piece.at) - self.slack };
        let before = earliest.saturating_sub(shift);
        self.take(number, shift, place, piece.until, |time| time < before)
    }

    /// One picture for as long as the piece lasts.
    fn dwell(&mut self, piece: &Piece, place: Place) -> Result<(), Refused> {
        if !place.is_first && self.goes_on(piece).is_some() {
            return Ok(());
        }
        let next = self.sync.partition_point(|(_, time)| *time <= piece.from + self.slack);
        let before = next.checked_sub(1).and_then(|at| self.sync.get(at)).copied();
        let (number, time) = before.or(self.sync.first().copied()).ok_or(Refused::Nothing)?;
        let sample = self.samples.range(number..number + 1).next().ok_or(Refused::Nothing)?;
        let is_it = time + i64::from(sample.duration) > piece.from;
        if !is_it && !place.is_first {
            // One to the end of the media holds nothing.
            let long = piece.until.map_or(0, |until| until - piece.from);
            self.held += long;
            self.longest_hold = self.longest_hold.max(long);
            return Ok(());
        }
        self.went_on = None;
        self.look()?;
        self.push(sample, self.zero + piece.at - time, true)
    }

    /// Takes samples from `number` on, but for those at times that `leads` says, up to the first in
    /// the order of decoding that is presented at `until` or later; in the last piece all.
    fn take(
        &mut self,
        number: u32,
        mut shift: i64,
        place: Place,
        until: Option<i64>,
        leads: impl Fn(i64) -> bool,
    ) -> Result<(), Refused> {
        let until = until.filter(|_| !place.is_last).map(|until| until - self.slack);
        let mut next = number;
        let mut is_first = true;
        for sample in self.samples.range(number..self.samples.count()) {
            self.look()?;
            let time = self.start + sample.cts();
            if until.is_some_and(|until| time >= until) {
                break;
            }
            next += 1;
            if !leads(time) {
                let gap = self.end.abs_diff(time + shift);
                if is_first && !place.is_first && gap <= self.slack.unsigned_abs() {
                    // It starts where the last one ended, if that is nearly so.
                    shift = self.end - time;
                }
                self.push(sample, shift, is_first)?;
                is_first = false;
            }
        }
        self.went_on = until.map(|until| (next, until + self.slack));
        Ok(())
    }

    /// Counts a sample that is looked at.
    fn look(&mut self) -> Result<(), Refused> {
        *self.left = self.left.checked_sub(1).ok_or(Refused::Samples)?;
        Ok(())
    }

    /// Adds a sample. It is decoded when it was, and after the one before it.
    fn push(&mut self, sample: Sample, shift: i64, starts_piece: bool) -> Result<(), Refused> {
        let sum = |time: i64, more: i64| time.checked_add(more).ok_or(Refused::Times);
        let own = sum(sum(self.start, sample.dts)?, shift)?;
        let mut dts = own;
        if let Some(last) = self.last.take() {
            // Also those after it, until they are in their own time again.
            dts = own.max(last.dts + i64::from(starts_piece || self.moved));
            let duration = u32::try_from(dts - last.dts).map_err(|_| Refused::Times)?;
            self.write(&last, duration);
        }
        self.moved = dts > own;
        self.first.get_or_insert(dts);
        let cts = sum(own, i64::from(sample.composition_offset))?;
        self.end = sum(cts, i64::from(sample.duration))?;
        let composition_offset = i32::try_from(cts - dts).map_err(|_| Refused::Times)?;
        self.last = Some(Sample { dts, composition_offset, ..sample });
        Ok(())
    }

    /// Writes the newest sample, to be presented until then at least.
    fn finish(&mut self, until: Option<i64>) -> Result<(), Refused> {
        let last = self.last.take().ok_or(Refused::Nothing)?;
        let shown = until.map_or(0, |until| until.saturating_sub(last.cts()));
        let duration = u32::try_from(shown.max(i64::from(last.duration)));
        let duration = duration.map_err(|_| Refused::Times)?;
        self.write(&last, duration);
        if let Some((start, _, samples)) = self.chunk.take() {
            self.out.push_chunk(start, samples, 1);
        }
        Ok(())
    }

    fn write(&mut self, sample: &Sample, duration: u32) {
        self.out.push(sample.size, duration, sample.composition_offset, sample.sync);
        let end = sample.offset + u64::from(sample.size);
        match &mut self.chunk {
            Some((_, until, samples)) if *until == sample.offset => {
                *until = end;
                *samples += 1;
            }
            chunk => {
                if let Some((start, _, samples)) = chunk.replace((sample.offset, end, 1)) {
                    self.out.push_chunk(start, samples, 1);
                }
            }
        }
    }
}

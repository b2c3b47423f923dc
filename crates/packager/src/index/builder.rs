//! Finding the `moov` in as few reads as can be (ISO/IEC 14496-12 §4.2, §8.2.1).
//!
//! The first read takes the head of the file. With the `moov` in front it is there, or its rest is
//! the second read. With the `moov` at the end the second read takes the start of what follows the
//! last box seen, and the third the `moov`. Each further box that hides what follows
//! it costs one more small read, up to [`Limits::max_reads`].
//!
//! Where a sample entry leaves out what a player must know, heads of samples are
//! [looked at](super::peek) in one more round.
//!
//! A `moov` that speaks of fragments is followed by a [scan](super::scan) of these. Where it ends
//! with another `moov` that has all samples, as recorders write when they finish, that one counts.

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::joined::Joined;
use super::movie;
use super::peek::Peeking;
use super::scan::{Ending, Scan, Wants};
use super::{MediaIndex, Recording, Step, TrackIndex, checkpoint, scan};
use crate::error::{Error, Result};
use crate::identity::{Fnv, SourceId};
use crate::isobmff::{Budget, FourCc, Header, Parsed};
use crate::limits::Limits;
use crate::units::ByteRange;

/// How much is read where it is not known what is there.
const WINDOW: u64 = 64 << 10;

/// Builds a [`MediaIndex`] from byte ranges that the caller reads.
///
/// ```
/// # use headwater_packager::{ByteRange, Error, IndexBuilder, Limits, MediaIndex, SourceId, Step};
/// # use bytes::Bytes;
/// fn index(file: &[u8]) -> Result<MediaIndex, Error> {
///     let id = SourceId::new("movie.mp4", file.len() as u64, "v1");
///     let mut builder = IndexBuilder::new(id, Limits::default());
///     loop {
///         match builder.step()? {
///             Step::Done(index) => return Ok(index),
///             Step::Need(ranges) => {
///                 for range in ranges {
///                     let bytes = &file[range.start as usize..range.end() as usize];
///                     builder.feed(range, Bytes::copy_from_slice(bytes))?;
///                 }
///             }
///         }
///     }
/// }
/// assert!(index(b"not a movie").is_err());
/// ```
#[derive(Debug)]
pub struct IndexBuilder {
    source: SourceId,
    limits: Limits,
    budget: Budget,
    reads: u32,
    /// The first fragment that was passed on the way to the movie box.
    early: Option<u64>,
    /// The scan that was done, and the hash of its movie box.
    done: Option<(Box<Scan>, u64)>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The bytes at a box's start are wanted; boxes before it have been passed.
    Window(ByteRange),
    /// They are here.
    Walk { at: u64, bytes: Bytes },
    /// The whole movie box is wanted: what of it was seen is read once more, at most a window,
    /// since to put megabytes together costs more than to make an index of them.
    Whole(Moov),
    /// The movie box is complete.
    Parse { moov: Moov, bytes: Bytes },
    /// The last fragment that an earlier scan found is wanted.
    Again { moov: Moov, bytes: Bytes, checkpoint: Box<Checkpoint> },
    /// Its fragments are being found.
    Scan { moov: Moov, bytes: Bytes, scan: Box<Scan> },
    /// The movie box after the fragments is wanted.
    Final { range: ByteRange, before: Option<MediaIndex> },
    /// It is here.
    ParseFinal { range: ByteRange, bytes: Bytes, before: Option<MediaIndex> },
    /// Samples are looked at for what their sample entries do not say.
    Peek(Box<Peeking>),
    /// The index was handed out, or there is none.
    Over(Option<Error>),
}

/// Where the movie box lies.
#[derive(Debug, Clone, Copy)]
struct Moov {
    range: ByteRange,
    header: u64,
}

impl IndexBuilder {
    /// Starts on a source.
    pub fn new(source: SourceId, limits: Limits) -> Self {
        let head = ByteRange { start: 0, len: source.size.min(WINDOW) };
        Self {
            source,
            limits,
            budget: Budget::new(limits.max_boxes),
            reads: 0,
            early: None,
            done: None,
            state: State::Window(head),
        }
    }

    /// What is needed next, or the index. Calling it again without feeding repeats the request;
    /// after an error it repeats the error.
    pub fn step(&mut self) -> Result<Step<MediaIndex>> {
        let step = self.advance().and_then(|step| match step {
            Step::Done(index) if index.tracks.iter().any(|track| track.pending.is_some()) => {
                let most = self.limits.max_compared_samples;
                self.state = State::Peek(Box::new(Peeking::new(index, most)));
                self.advance()
            }
            step => Ok(step),
        });
        if let Err(error) = &step {
            self.state = State::Over(Some(error.clone()));
        }
        step
    }

    /// Takes up a scan that was [kept](Self::checkpoint), if it fits the source: the same source,
    /// or one that has grown since. To be called when the builder [has found](Self::is_fragmented)
    /// that there are fragments, and has not been fed any; then step again.
    pub fn resume(&mut self, kept: &[u8]) -> Result<()> {
        let State::Scan { moov, bytes, .. } = &self.state else { return Ok(()) };
        let (moov, bytes) = (*moov, bytes.clone());
        let checkpoint = checkpoint::read(kept, &self.source, scan::hash_of(&bytes));
        self.state = match checkpoint {
            None => return Ok(()),
            Some(checkpoint) if checkpoint.same_source => {
                let scan = self.resumed(moov, &bytes, checkpoint)?;
                State::Scan { moov, bytes, scan }
            }
            Some(checkpoint) => State::Again { moov, bytes, checkpoint: Box::new(checkpoint) },
        };
        Ok(())
    }

    /// The scan of the source's fragments as far as it has come; `None` where there are none, or
    /// where it has not begun. About four bytes for each sample, more with reordered pictures.
    pub fn checkpoint(&self) -> Option<Bytes> {
        let (scan, moov) = match &self.state {
            State::Scan { scan, bytes, .. } => (scan, scan::hash_of(bytes)),
            _ => self.done.as_ref().map(|(scan, moov)| (scan, *moov))?,
        };
        let found = scan.position().fragments > 0;
        found.then(|| checkpoint::write(scan, &self.source, moov))
    }

    /// How many fragments have been found; 0 where there are none.
    pub fn fragments(&self) -> u32 {
        match (&self.state, &self.done) {
            (State::Scan { scan, .. }, _) | (_, Some((scan, _))) => scan.position().fragments,
            _ => 0,
        }
    }

    /// Whether the source turned out to have fragments: it may be written to while it is read.
    pub fn is_fragmented(&self) -> bool {
        matches!(self.state, State::Scan { .. } | State::Again { .. })
    }

    /// Hands over one range that [`step`](Self::step) asked for. Fewer or other bytes than asked
    /// for are an error: the source is not what its identity says.
    pub fn feed(&mut self, range: ByteRange, bytes: Bytes) -> Result<()> {
        let wanted = match &mut self.state {
            State::Scan { scan, .. } => return scan.feed(range, bytes),
            State::Peek(peeking) => return peeking.feed(range, &bytes),
            State::Window(wanted)
            | State::Whole(Moov { range: wanted, .. })
            | State::Final { range: wanted, .. } => *wanted,
            State::Again { checkpoint, .. } => checkpoint.position.last,
            _ => return Err(Error::UnexpectedBytes),
        };
        if range != wanted {
            return Err(Error::UnexpectedBytes);
        }
        if bytes.len() as u64 != wanted.len {
            return Err(Error::Truncated { what: "it is shorter than its size says", track: None });
        }
        self.reads += 1;
        let state = std::mem::replace(&mut self.state, State::Over(None));
        self.state = match state {
            State::Whole(moov) => State::Parse { moov, bytes },
            State::Final { range, before } => State::ParseFinal { range, bytes, before },
            State::Again { moov, bytes: movie, checkpoint } => {
                let known = last_hash(&bytes) == Some(checkpoint.position.hashes.1);
                if known {
                    let scan = self.resumed(moov, &movie, *checkpoint)?;
                    State::Scan { moov, bytes: movie, scan }
                } else {
                    State::Parse { moov, bytes: movie }
                }
            }
            _ => State::Walk { at: wanted.start, bytes },
        };
        Ok(())
    }

    fn advance(&mut self) -> Result<Step<MediaIndex>> {
        loop {
            match &mut self.state {
                State::Window(range) if range.len == 0 => {
                    return Err(Error::NotMp4("it is empty"));
                }
                State::Window(range) | State::Whole(Moov { range, .. }) => {
                    if self.reads >= self.limits.max_reads {
                        return Err(Error::Limit {
                            what: "reads to find the movie box",
                            limit: u64::from(self.limits.max_reads),
                        });
                    }
                    return Ok(Step::Need(vec![*range]));
                }
                State::Walk { at, bytes } => {
                    let (at, bytes) = (*at, bytes.clone());
                    self.state = self.walk(at, &bytes)?;
                }
                State::Parse { moov, bytes } => {
                    let (moov, bytes) = (*moov, bytes.clone());
                    let Some(state) = self.scan(moov, &bytes)? else {
                        let index = self.parse(moov, &bytes, None)?;
                        self.state = State::Over(None);
                        return Ok(Step::Done(index));
                    };
                    self.state = state;
                }
                State::Again { checkpoint, .. } => {
                    return Ok(Step::Need(vec![checkpoint.position.last]));
                }
                State::Scan { scan, .. } => {
                    if let Wants::Ranges(ranges) = scan.advance()? {
                        return Ok(Step::Need(ranges));
                    }
                    let state = std::mem::replace(&mut self.state, State::Over(None));
                    if let State::Scan { moov, bytes, scan } = state {
                        let index = self.scanned(moov, &bytes, &scan);
                        let later = scan.later_movie();
                        self.done = Some((scan, scan::hash_of(&bytes)));
                        match later.filter(|it| it.len <= self.limits.max_moov_bytes) {
                            None => return Ok(Step::Done(index?)),
                            Some(range) => {
                                self.state = State::Final { range, before: Some(index?) };
                            }
                        }
                    }
                }
                State::Final { range, .. } => return Ok(Step::Need(vec![*range])),
                State::Peek(peeking) => {
                    let needs = peeking.needs(&mut self.budget);
                    if !needs.is_empty() {
                        return Ok(Step::Need(needs));
                    }
                    let state = std::mem::replace(&mut self.state, State::Over(None));
                    if let State::Peek(peeking) = state {
                        return peeking.settle().map(Step::Done);
                    }
                }
                State::ParseFinal { range, bytes, before } => {
                    let (range, bytes, before) = (*range, bytes.clone(), before.take());
                    self.state = State::Over(None);
                    return match self.finished(range, &bytes, before.as_ref()) {
                        Some(index) => Ok(Step::Done(index)),
                        None => before.map(Step::Done).ok_or(Error::UnexpectedBytes),
                    };
                }
                State::Over(error) => {
                    return Err(error.clone().unwrap_or(Error::UnexpectedBytes));
                }
            }
        }
    }

    /// Passes boxes from `at` on, as far as `bytes` go.
    fn walk(&mut self, start: u64, bytes: &Bytes) -> Result<State> {
        let file = self.source.size;
        let mut at = start;
        loop {
            if at >= file {
                return Err(Error::NotMp4("it has no movie box"));
            }
            let rest = usize::try_from(at - start)
                .ok()
                .and_then(|offset| bytes.get(offset..))
                .unwrap_or_default();
            let header = match Header::parse(rest) {
                Parsed::Header(header) => header,
                Parsed::Short if rest.len() as u64 == file - at => {
                    return Err(if at == 0 {
                        Error::NotMp4("it is too short")
                    } else {
                        Error::NotMp4("it has no movie box")
                    });
                }
                Parsed::Short => return Ok(State::Window(self.window(at))),
                Parsed::Invalid if at == 0 => {
                    return Err(Error::NotMp4("it does not start with a box"));
                }
                Parsed::Invalid => {
                    return Err(Error::NotMp4("there is something between boxes"));
                }
            };
            if at == 0 && !is_first_box(header.kind) {
                return Err(Error::NotMp4("it starts with a box that no movie starts with"));
            }
            self.budget.spend()?;
            let size = header.size.unwrap_or(file - at);
            let range = ByteRange::new(at, size).filter(|range| range.end() <= file);
            if header.kind.0 == *b"moov" {
                let range = range
                    .ok_or(Error::Truncated { what: "the movie box is cut off", track: None })?;
                return self.found(range, header, rest, at, bytes, start);
            }
            if header.kind.0 == *b"moof" {
                self.early.get_or_insert(at);
            }
            at = range
                .ok_or(Error::Truncated {
                    what: "a box runs past the end of the file and no movie box was found before",
                    track: None,
                })?
                .end();
        }
    }

    fn found(
        &self,
        range: ByteRange,
        header: Header,
        rest: &[u8],
        at: u64,
        bytes: &Bytes,
        start: u64,
    ) -> Result<State> {
        if range.len > self.limits.max_moov_bytes {
            return Err(Error::Limit {
                what: "bytes of the movie box",
                limit: self.limits.max_moov_bytes,
            });
        }
        let moov = Moov { range, header: header.len };
        let have = (rest.len() as u64).min(range.len);
        let offset = (at - start) as usize;
        Ok(if have == range.len {
            State::Parse { moov, bytes: bytes.slice(offset..offset + have as usize) }
        } else {
            State::Whole(moov)
        })
    }

    fn window(&self, at: u64) -> ByteRange {
        ByteRange { start: at, len: (self.source.size - at).min(WINDOW) }
    }

    fn parse(&mut self, moov: Moov, bytes: &Bytes, joined: Option<&Joined>) -> Result<MediaIndex> {
        let payload = bytes.get(moov.header as usize..).unwrap_or_default();
        let (file, limits) = (self.source.size, &self.limits);
        let movie = movie::read(payload, moov.range, file, joined, limits, &mut self.budget)?;
        Ok(MediaIndex {
            source: self.source.clone(),
            movie_timescale: movie.timescale,
            tracks: movie.tracks,
            report: movie.report,
            recording: None,
            growth: None,
        })
    }

    /// The scan, where the movie box says that there may be fragments.
    fn scan(&mut self, moov: Moov, bytes: &Bytes) -> Result<Option<State>> {
        let payload = bytes.get(moov.header as usize..).unwrap_or_default();
        let Some(trexes) = movie::fragment_defaults(payload, &mut self.budget)? else {
            return Ok(None);
        };
        let file = self.source.size;
        let joined = Joined::of_movie(payload, file, &self.limits, &mut self.budget)?;
        let at = self.early.unwrap_or(moov.range.end());
        let scan = Box::new(Scan::new(at, file, joined, trexes, self.limits));
        Ok(Some(State::Scan { moov, bytes: bytes.clone(), scan }))
    }

    fn resumed(&mut self, moov: Moov, bytes: &Bytes, checkpoint: Checkpoint) -> Result<Box<Scan>> {
        let payload = bytes.get(moov.header as usize..).unwrap_or_default();
        let trexes = movie::fragment_defaults(payload, &mut self.budget)?.unwrap_or_default();
        let Checkpoint { position, joined, .. } = checkpoint;
        Ok(Box::new(Scan::resume(position, self.source.size, joined, trexes, self.limits)))
    }

    /// The index of a movie box with its fragments.
    fn scanned(&mut self, moov: Moov, bytes: &Bytes, scan: &Scan) -> Result<MediaIndex> {
        let position = scan.position();
        let joined = (position.fragments > 0).then(|| scan.joined());
        let mut index = self.parse(moov, bytes, joined)?;
        start_near_zero(&mut index, &self.limits)?;
        match scan.ending() {
            Ending::Whole => {}
            Ending::CutShort => index.report.info(
                None,
                format!(
                    "it ends within a fragment, which is left out: {} before it are complete",
                    position.fragments
                ),
            ),
            Ending::Damaged => index.report.warn(
                None,
                format!(
                    "it is damaged after its fragment {}, and what follows is left out",
                    position.fragments
                ),
            ),
        }
        if position.fragments > 0 && !position.indexed {
            let mut hash = Fnv::new();
            hash.field(self.source.name.as_bytes());
            hash.field(bytes);
            hash.field(&position.hashes.0.to_be_bytes());
            let (identity, closed) = (hash.finish(), position.closed);
            index.recording = Some(Recording { identity, closed, settled: false });
        }
        Ok(index)
    }

    /// The index of the movie box after the fragments, where that has all that these have.
    fn finished(
        &mut self,
        range: ByteRange,
        bytes: &Bytes,
        before: Option<&MediaIndex>,
    ) -> Option<MediaIndex> {
        let Parsed::Header(header) = Header::parse(bytes) else { return None };
        let index = self.parse(Moov { range, header: header.len }, bytes, None).ok()?;
        let has = |track: &TrackIndex| {
            let same = index.tracks.iter().find(|other| other.number == track.number);
            same.is_some_and(|other| other.samples.count() >= track.samples.count())
        };
        before?.tracks.iter().all(has).then_some(index)
    }
}

/// The hash of the payload of a `moof` that these bytes are.
fn last_hash(bytes: &[u8]) -> Option<u64> {
    match Header::parse(bytes) {
        Parsed::Header(header) if header.kind.0 == *b"moof" => {
            bytes.get(header.len as usize..).map(scan::hash_of)
        }
        _ => None,
    }
}

/// Moves all tracks of a source by the same whole number of seconds, so that its presentation
/// starts within its first second: fragments cut from a longer recording keep its times.
fn start_near_zero(index: &mut MediaIndex, limits: &Limits) -> Result<()> {
    let seconds = |track: &TrackIndex| {
        let first = track.edits.iter().find(|edit| !edit.is_empty());
        let media_start = first.map_or(0, |edit| edit.media_time);
        track.start.saturating_sub(media_start).div_euclid(i64::from(track.timescale.get()))
    };
    let early = index.tracks.iter().map(seconds).min().unwrap_or(0).max(0);
    for track in &mut index.tracks {
        let hz = i64::from(track.timescale.get());
        track.start = track.start.saturating_sub(early.saturating_mul(hz));
        let longest = i64::from(limits.max_duration_seconds) * hz;
        if track.start > longest {
            return Err(Error::Limit {
                what: "seconds between the starts of two tracks",
                limit: u64::from(limits.max_duration_seconds),
            });
        }
    }
    if early > 0 {
        index.report.info(None, format!("its times start at {early} s, which is taken for zero"));
    }
    Ok(())
}

/// What files in this format start with; old QuickTime files have no `ftyp`.
fn is_first_box(kind: FourCc) -> bool {
    matches!(
        &kind.0,
        b"ftyp" | b"styp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot" | b"uuid"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
    use super::*;

    fn builder(size: u64) -> IndexBuilder {
        IndexBuilder::new(SourceId::new("x", size, ""), Limits::default())
    }

    fn run(file: &[u8]) -> Error {
        let mut builder = builder(file.len() as u64);
        loop {
            match builder.step() {
                Err(error) => {
                    assert_eq!(builder.step().unwrap_err(), error, "errors are repeated");
                    return error;
                }
                Ok(Step::Done(_)) => panic!("an index of nothing"),
                Ok(Step::Need(ranges)) => {
                    for range in ranges {
                        let bytes = &file[range.start as usize..range.end() as usize];
                        builder.feed(range, Bytes::copy_from_slice(bytes)).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_movie_is_told_apart() {
        assert!(matches!(run(b""), Error::NotMp4("it is empty")));
        assert!(matches!(run(b"abc"), Error::NotMp4("it is too short")));
        assert!(matches!(run(b"#EXTM3U\n#EXT-X-VERSION"), Error::NotMp4(_)));
        assert!(matches!(run(b"\x1aE\xdf\xa3webmwebm"), Error::NotMp4(_)));
        assert!(matches!(
            run(b"\0\0\0\x08ftyp\0\0\0\x08mdat"),
            Error::NotMp4("it has no movie box")
        ));
        assert!(matches!(run(b"\0\0\0\x08ftyp\0\0\0\x40moov"), Error::Truncated { .. }));
        assert!(matches!(run(b"\0\0\0\x08ftyp\0\0\0\x40mdat"), Error::Truncated { .. }));
        assert!(matches!(run(b"\0\0\0\x08ftyp\0\0\0\x08moov"), Error::MissingBox { .. }));
        assert!(matches!(
            run(b"\0\0\0\x08ftyp\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"),
            Error::Truncated { .. }
        ));
    }

    #[test]
    fn many_far_boxes_are_limited() {
        // Each box hides the next beyond the window.
        let mut builder = builder(1 << 40);
        let mut file_box = b"\0\x10\0\0mdat".to_vec();
        file_box.resize(WINDOW as usize, 0);
        let mut rounds = 0;
        let error = loop {
            match builder.step() {
                Err(error) => break error,
                Ok(Step::Done(_)) => panic!("an index of nothing"),
                Ok(Step::Need(ranges)) => {
                    rounds += 1;
                    assert!(rounds <= 64);
                    let bytes = Bytes::copy_from_slice(&file_box);
                    builder.feed(ranges[0], bytes).unwrap();
                }
            }
        };
        assert!(matches!(error, Error::Limit { limit: 64, .. }));
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let mut builder = builder(100);
        let wrong = ByteRange { start: 1, len: 99 };
        assert_eq!(builder.feed(wrong, Bytes::from_static(&[0; 99])), Err(Error::UnexpectedBytes));
        let right = ByteRange { start: 0, len: 100 };
        assert!(matches!(
            builder.feed(right, Bytes::from_static(&[0; 99])),
            Err(Error::Truncated { .. })
        ));
    }
}

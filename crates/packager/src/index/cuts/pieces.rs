//! An edit list as pieces of the track's media, each with the time at which it is presented
//! (ISO/IEC 14496-12 §8.6.6.1): edits that continue each other are one piece, pauses lie between
//! pieces.

use crate::index::Edit;
use crate::units::{MediaTime, Timescale};

/// The most edits of one list that are looked at; longer lists are not followed.
const MAX_EDITS: usize = 1 << 16;

/// No time of a list may be later, in ticks: sums of a few of them stay within 64 bits.
pub(super) const LATEST: i64 = 1 << 58;

/// The speed of media as it is, 16.16.
const NORMAL: i32 = 1 << 16;

/// A part of the media, in ticks of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The composition time that is presented first.
    pub(super) from: i64,
    /// The composition time before which it ends; `None` for the end of the media.
    pub(super) until: Option<i64>,
    /// When it is presented, from where the first piece is.
    pub(super) at: i64,
    /// It is one picture that is dwelt on, or for sound silence (`media_rate` 0).
    pub(super) still: bool,
}

/// What an edit list plays after the delay that it starts with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// At least one, in the order in which they are presented.
    pub(super) list: Vec<Piece>,
    /// How long all of it lasts, in ticks of the movie; 0 for to the end of the media.
    pub(super) duration: u64,
}

impl Pieces {
    /// The pieces of the edits after those that delay the track, by `delay` ticks of the movie: each
    /// is presented at the tick that is next to its time in the whole. `None` where there are none, where
    /// they change the speed, or where they do not make sense.
    pub(super) fn read(
        delay: u64,
        playing: &[Edit],
        timescale: Timescale,
        movie: Timescale,
    ) -> Option<Self> {
        let last = playing.iter().rposition(|edit| !edit.is_empty())?;
        let playing = playing.get(..=last).filter(|edits| edits.len() <= MAX_EDITS)?;
        let ticks = |duration: u64| {
            let duration = MediaTime::new(i64::try_from(duration).ok()?, movie);
            duration.rescale(timescale).map(MediaTime::ticks).filter(|ticks| *ticks <= LATEST)
        };
        // Durations are as exact as the movie's ticks are.
        let slack = ticks(1)?;
        let start = ticks(delay)?;
        let mut list: Vec<Piece> = Vec::new();
        let mut passed = 0_u64;
        let mut open = false;
        for (number, edit) in playing.iter().enumerate() {
            let at = ticks(delay.checked_add(passed)?)? - start;
            passed = passed.checked_add(edit.duration)?;
            open = number == last && edit.duration == 0;
            if edit.is_empty() || (edit.duration == 0 && !open) {
                continue;
            }
            if edit.rate != NORMAL && edit.rate != 0 {
                return None;
            }
            let from = Some(edit.media_time).filter(|from| (0..=LATEST).contains(from))?;
            let until = if open { None } else { Some(from.checked_add(ticks(edit.duration)?)?) };
            let still = edit.rate == 0;
            if let Some(before) = list.last_mut()
                && let Some(end) = before.until
                && !before.still
                && !still
                && from.abs_diff(end) <= slack.unsigned_abs()
                && at.abs_diff(before.at + (end - before.from)) <= slack.unsigned_abs()
            {
                before.until = until;
            } else {
                list.push(Piece { from, until, at, still });
            }
        }
        let duration = if open { 0 } else { passed };
        (!list.is_empty()).then_some(Self { list, duration })
    }

    /// Whether it is one piece of the media as it is.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.list.as_slice(), [Piece { at: 0, still: false, .. }])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn read(edits: &[(u64, i64, i32)]) -> Option<Pieces> {
        read_at(48_000, edits)
    }

    fn read_at(hz: u32, edits: &[(u64, i64, i32)]) -> Option<Pieces> {
        let edits = edits.iter().map(|(duration, media_time, rate)| Edit {
            duration: *duration,
            media_time: *media_time,
            rate: *rate,
        });
        let scale = |hz| Timescale::new(hz).unwrap();
        Pieces::read(0, &edits.collect::<Vec<_>>(), scale(hz), scale(1_000))
    }

    fn piece(from: i64, until: impl Into<Option<i64>>, at: i64) -> Piece {
        Piece { from, until: until.into(), at, still: false }
    }

    #[test]
    fn edits_follow_each_other_and_pauses_lie_between() {
        let cut = read(&[(1_000, 0, NORMAL), (500, 96_000, NORMAL)]).unwrap();
        assert_eq!(cut.list, [piece(0, 48_000, 0), piece(96_000, 120_000, 48_000)]);
        assert_eq!((cut.duration, cut.is_plain()), (1_500, false));
        let paused =
            read(&[(1_000, 0, NORMAL), (250, -1, NORMAL), (0, 48_000, NORMAL), (9, -1, NORMAL)]);
        let paused = paused.unwrap();
        // Nothing for nothing at the end; an edit of no duration before that plays nothing.
        assert_eq!(paused.list, [piece(0, 48_000, 0), piece(48_000, None, 60_000)]);
        assert_eq!(paused.duration, 0);
    }

    #[test]
    fn what_continues_is_one_piece() {
        // 1,001 ticks of 1/48,000 are 20.85 ms, which a movie in milliseconds says as 21.
        let joined = read(&[(21, 0, NORMAL), (21, 1_001, NORMAL), (21, 2_002, NORMAL)]).unwrap();
        assert_eq!(joined.list.len(), 1);
        assert!(joined.is_plain());
        // One picture cut out of 25 a second, counted one by one, is a cut.
        let coarse = read_at(25, &[(400, 0, NORMAL), (400, 11, NORMAL)]).unwrap();
        assert_eq!(coarse.list, [piece(0, 10, 0), piece(11, 21, 10)]);
        let dwells = read(&[(1_000, 0, NORMAL), (300, 48_000, 0), (1_000, 48_000, NORMAL)]);
        let dwells = dwells.unwrap();
        assert_eq!(
            dwells.list.iter().map(|piece| piece.still).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(dwells.list[2].at, 62_400);
    }

    #[test]
    fn speeds_and_nonsense_are_not_followed() {
        assert_eq!(read(&[(1_000, 0, NORMAL), (1_000, 96_000, 2 << 16)]), None);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(5, -1, NORMAL)]), None);
        assert_eq!(read(&[(u64::MAX, 0, NORMAL), (1, 0, NORMAL)]), None);
        assert_eq!(read(&vec![(1, 0, NORMAL); MAX_EDITS + 1]), None);
    }
}

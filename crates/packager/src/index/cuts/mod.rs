//! Edit lists that jump, settled in the sample tables (ISO/IEC 14496-12 §8.6.6).
//!
//! A presentation is the media of its edits, one after the other: parts may be cut out or come
//! twice, and there may be pauses between. Where an edit list does more than delay, start and end
//! its track, the track's tables are written anew here, as if it had been recorded so; samples are
//! not moved, only listed otherwise. What follows sees such a track with one edit.
//!
//! Nothing is encoded anew, so what a cut means depends on what can be decoded:
//!
//! - *Times are exact.* Each sample that stays is presented when the list says, in each track by
//!   itself: so picture and sound stay together, whatever is left out of either.
//! - *Pictures go on at a sync sample.* After a jump to between two of them, pictures up to the
//!   second are left out, and the one before the jump stays on the screen for so long. Nothing that
//!   was cut out is shown, but for the lead-in of the whole: the first piece starts with the sync
//!   sample at or before it, at times before zero, as it does where there is no jump.
//! - *A piece ends in the order of decoding*, before the first picture that is presented after it:
//!   with reordered pictures up to as many as are reordered are left out.
//! - *Sound is cut between frames.* A frame belongs to the piece in which it starts, at its own
//!   time within half a millisecond; from one piece to the next at most a frame is silent.
//! - *A dwell* (`media_rate` 0) holds the picture before it, or one that is a sync sample; a pause
//!   (an empty edit) holds it, too. Sound is silent meanwhile.
//! - *Other speeds* cannot be had without encoding: such lists are not followed past their start.

mod pieces;
mod view;

use super::table::{Bounds, Built, SampleTable};
use super::{Edit, TrackIndex, TrackSamples};
use crate::error::Result;
use crate::isobmff::{Budget, children};
use crate::limits::Limits;
use crate::report::Report;
use crate::units::{ByteRange, MediaTime, Timescale};
use pieces::{LATEST, Piece, Pieces};
use view::{View, lead_in};

/// What the tracks of a file may have in all beyond their own samples, however few these are: ten
/// minutes of pictures at 25 a second. Their tables take 4 MiB while they are made, at the worst.
const ALWAYS_REPEATED: u64 = 1 << 14;

/// What they may have beyond that: so many times their own samples,
const REPEATS: u64 = 3;

/// and no more than one for so many bytes of the file: samples of a byte or two cost nothing there,
/// but as much as others here.
const BYTES_FOR_REPEATED: u64 = 32;

/// How much sound stays before the first piece, at least: what decoders are primed with.
const PRIMING: MediaTime = MediaTime::from_millis(1_000);

/// Settles the edit lists of all tracks of a movie in a file of `file` bytes.
pub(super) fn settle(
    tracks: &mut [TrackIndex],
    movie: Timescale,
    file: u64,
    limits: &Limits,
    budget: &mut Budget,
    report: &mut Report,
) -> Result<()> {
    let plans: Vec<_> = tracks.iter().map(|track| Plan::of(track, movie)).collect();
    // Sound stays for as long before the start as pictures do.
    let pictures = tracks.iter().zip(&plans).filter(|(track, _)| track.is_video());
    let leads = pictures.filter_map(|(track, plan)| {
        let from = plan.as_ref()?.pieces.list.first()?.from;
        Some(MediaTime::new(lead_in(track, from).1, track.timescale))
    });
    let lead = leads.max().unwrap_or(PRIMING).max(PRIMING);
    let own: u64 = tracks.iter().map(|track| u64::from(track.samples.count())).sum();
    let repeats = ALWAYS_REPEATED + (own * REPEATS).min(file / BYTES_FOR_REPEATED);
    let mut within = Within { file, limits, budget, repeats };
    for (track, plan) in tracks.iter_mut().zip(plans) {
        let Some(plan) = plan else { continue };
        if plan.pieces.is_plain() && !plan.starts_late(track, lead) {
            continue;
        }
        plan.follow(track, lead, &mut within, report)?;
    }
    Ok(())
}

/// What all tracks of a file keep within.
struct Within<'a> {
    /// Its length in bytes.
    file: u64,
    limits: &'a Limits,
    budget: &'a mut Budget,
    /// What is left for samples beyond the tracks' own. What is looked at counts, whether it comes
    /// to something or not.
    repeats: u64,
}

/// How the list of one track is to be followed.
struct Plan {
    delay: Vec<Edit>,
    pieces: Pieces,
}

impl Plan {
    /// `None` where the list says nothing, or nothing that can be followed.
    fn of(track: &TrackIndex, movie: Timescale) -> Option<Self> {
        let delays = track.edits.iter().take_while(|edit| edit.is_empty()).count();
        let (delay, playing) = track.edits.split_at_checked(delays)?;
        let late = delay.iter().try_fold(0_u64, |sum, edit| sum.checked_add(edit.duration))?;
        let pieces = Pieces::read(late, playing, track.timescale, movie)?;
        // One that starts after all that there is means something else.
        let from = pieces.list.first()?.from;
        let media = i64::try_from(track.samples.duration()).ok()?.checked_add(track.start)?;
        (from < media && media <= LATEST).then(|| Self { delay: delay.to_vec(), pieces })
    }

    /// Whether there is more before its first piece than leads into it.
    fn starts_late(&self, track: &TrackIndex, lead: MediaTime) -> bool {
        let Some(Piece { from, .. }) = self.pieces.list.first() else { return false };
        if track.is_video() {
            return lead_in(track, *from).0 > 0;
        }
        let lead = lead.rescale_up(track.timescale).map_or(i64::MAX, MediaTime::ticks);
        from.saturating_sub(track.start) > lead
    }

    fn follow(
        self,
        track: &mut TrackIndex,
        lead: MediaTime,
        within: &mut Within<'_>,
        report: &mut Report,
    ) -> Result<()> {
        let Within { file, limits, ref mut budget, ref mut repeats } = *within;
        let number = track.number;
        let own = track.samples.count();
        let beyond = u32::try_from(*repeats).unwrap_or(u32::MAX);
        let most = own.saturating_add(beyond).min(limits.max_samples);
        let mut left = most;
        let view = View::of(track, &self.pieces.list, lead, &mut left);
        *repeats = repeats.saturating_sub(u64::from((most - left).saturating_sub(own)));
        let view = match view {
            Ok(view) => view,
            Err(refused) => {
                report.warn(Some(number), refused.says(most, own));
                return Ok(());
            }
        };
        let tables = view.joined.stbl();
        let bounds = Bounds {
            track: number,
            file,
            // That no sample lies in it was seen before.
            moov: ByteRange { start: 0, len: 0 },
            max_samples: limits.max_samples,
            // What is repeated lies in the file once.
            max_bytes: u64::MAX,
        };
        let Built::Table(table) = SampleTable::build(&children(&tables, budget)?, &bounds)? else {
            return Ok(());
        };
        view.tell(number, &self.pieces, report);
        let from = self.pieces.list.first().map_or(0, |piece| piece.from);
        let whole = Edit { duration: self.pieces.duration, media_time: from, rate: 1 << 16 };
        let mut followed = self.delay;
        followed.push(whole);
        track.stated_edits = Some(std::mem::replace(&mut track.edits, followed.into()));
        track.start = view.start;
        track.samples = TrackSamples::from_table(table);
        Ok(())
    }
}

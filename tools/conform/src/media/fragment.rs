//! Movie fragments of a media segment (ISO/IEC 14496-12 §8.8; ISO/IEC 23000-19 §7.3.2).

use std::ops::Range;

use super::boxes::{Atom, Fields, FourCc, walk};
use super::movie::{Extends, Movie, Track, brands};
use super::nal::{self, Video};
use super::sidx::Sidx;
use super::{Kind, Span};
use crate::limits::MAX_SAMPLES;

/// A media segment.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// The kinds of the boxes at the top, in order.
    pub(crate) top: Vec<FourCc>,
    /// Brands of `styp`.
    pub(crate) brands: Vec<FourCc>,
    pub(crate) indexes: Vec<Sidx>,
    pub(crate) moofs: Vec<Moof>,
}

/// `moof`, with the `mdat` boxes that follow it.
#[derive(Debug)]
pub(crate) struct Moof {
    pub(crate) range: Range<u64>,
    pub(crate) sequence: Option<u32>,
    pub(crate) trafs: Vec<Traf>,
    /// What is inside the `mdat` boxes after it.
    pub(crate) data: Vec<Range<u64>>,
}

/// `traf`.
#[derive(Debug, Default)]
pub(crate) struct Traf {
    pub(crate) track: u32,
    pub(crate) base_is_moof: bool,
    pub(crate) absolute_base: bool,
    /// `baseMediaDecodeTime`.
    pub(crate) decode_time: Option<u64>,
    pub(crate) runs: usize,
    /// Runs without a data offset of their own.
    pub(crate) runs_without_offset: usize,
    pub(crate) run_versions: Vec<u8>,
    pub(crate) samples: Vec<Sample>,
    /// What the NAL units of the first sample say.
    pub(crate) random_access: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Where its bytes are, in the segment.
    pub(crate) offset: i64,
    pub(crate) size: u32,
    pub(crate) duration: u32,
    pub(crate) composition: i32,
    pub(crate) sync: bool,
}

impl Traf {
    pub(crate) fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }
}

impl Fragments {
    pub(crate) fn read(bytes: &[u8], movie: Option<&Movie>) -> Result<Self, String> {
        let mut found = Self::default();
        let mut left = MAX_SAMPLES;
        for atom in walk(bytes, 0)? {
            found.top.push(atom.kind);
            match &atom.kind.0 {
                b"styp" => {
                    found.brands = brands(&atom).map(|(brands, _)| brands).unwrap_or_default();
                }
                b"sidx" => found.indexes.push(Sidx::read(&atom).ok_or("sidx is cut off")?),
                b"moof" => found.moofs.push(moof(&atom, movie, &mut left)?),
                b"mdat" => {
                    if let Some(last) = found.moofs.last_mut() {
                        last.data.push(atom.body_at..atom.start + atom.size);
                    }
                }
                _ => {}
            }
        }
        if found.moofs.is_empty() {
            return Err("there is no moof".to_owned());
        }
        found.look_into_samples(bytes, movie);
        Ok(found)
    }

    /// Asks the first sample of each H.264 or HEVC fragment whether it is what it is marked as.
    fn look_into_samples(&mut self, bytes: &[u8], movie: Option<&Movie>) {
        for traf in self.moofs.iter_mut().flat_map(|moof| &mut moof.trafs) {
            let entry = movie.and_then(|movie| movie.track(traf.track)?.entries.first());
            let Some((length, video)) = entry.filter(|entry| !entry.encrypted).and_then(|entry| {
                let video = match &entry.format?.0 {
                    b"avc1" | b"avc3" | b"dva1" => Video::H264,
                    b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => Video::Hevc,
                    _ => return None,
                };
                Some((entry.nal_length?, video))
            }) else {
                continue;
            };
            let Some(first) = traf.samples.first() else { continue };
            let range = usize::try_from(first.offset)
                .ok()
                .and_then(|start| Some(start..start.checked_add(first.size as usize)?));
            let sample = range.and_then(|range| bytes.get(range));
            traf.random_access = sample.and_then(|sample| nal::in_sample(sample, length, video));
        }
    }

    /// One span a track, over all fragments.
    pub(crate) fn spans(&self, movie: Option<&Movie>) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for traf in self.moofs.iter().flat_map(|moof| &moof.trafs) {
            let Some(first) = traf.samples.first() else { continue };
            let duration = traf.duration();
            if let Some(known) = spans.iter_mut().find(|span| span.track == traf.track) {
                known.duration += duration;
                known.shown += duration;
                known.samples += traf.samples.len();
                continue;
            }
            let track = movie.and_then(|movie| movie.track(traf.track));
            let start = traf.decode_time.unwrap_or(0);
            let mut clock = i64::try_from(start).unwrap_or(i64::MAX / 2);
            let mut presented = i64::MAX;
            for sample in &traf.samples {
                presented = presented.min(clock.saturating_add(i64::from(sample.composition)));
                clock = clock.saturating_add(i64::from(sample.duration));
            }
            let shift = track.map_or(0, Track::start_offset);
            presented = presented.saturating_sub(shift);
            // What an edit list cuts off at the start is not presented.
            let cut =
                if shift > 0 { u64::try_from(presented.saturating_neg()).unwrap_or(0) } else { 0 };
            spans.push(Span {
                track: traf.track,
                kind: track.map_or(Kind::Other, Track::kind),
                timescale: track.map_or(1, |track| track.timescale),
                start,
                duration,
                presented: presented.saturating_add_unsigned(cut),
                shown: duration.saturating_sub(cut),
                samples: traf.samples.len(),
                sync: Some(first.sync),
                random_access: traf.random_access,
                exact: true,
            });
        }
        spans
    }
}

fn moof(atom: &Atom<'_>, movie: Option<&Movie>, left: &mut usize) -> Result<Moof, String> {
    let mut found =
        Moof { range: atom.range(), sequence: None, trafs: Vec::new(), data: Vec::new() };
    for inner in atom.children(0)? {
        match &inner.kind.0 {
            b"mfhd" => {
                let mut fields = inner.fields();
                found.sequence = fields.full().and_then(|_| fields.u32());
            }
            b"traf" => found.trafs.push(traf(&inner, movie, atom.start, left)?),
            _ => {}
        }
    }
    Ok(found)
}

/// What samples have that say nothing themselves (§8.8.7).
#[derive(Default)]
struct Defaults {
    base: i64,
    duration: u32,
    size: u32,
    flags: u32,
}

fn traf(
    atom: &Atom<'_>,
    movie: Option<&Movie>,
    moof: u64,
    left: &mut usize,
) -> Result<Traf, String> {
    let mut found = Traf::default();
    let mut defaults = Defaults::default();
    let mut next = None;
    for inner in atom.children(0)? {
        let mut fields = inner.fields();
        let done = match &inner.kind.0 {
            b"tfhd" => header(&mut found, &mut defaults, fields, movie, moof),
            b"tfdt" => fields.full().and_then(|(version, _)| {
                found.decode_time = Some(fields.sized(version)?);
                Some(())
            }),
            b"trun" => run(&mut found, &defaults, fields, &mut next, left),
            _ => Some(()),
        };
        done.ok_or_else(|| format!("{} is cut off", inner.kind))?;
    }
    Ok(found)
}

/// §8.8.7.
fn header(
    found: &mut Traf,
    defaults: &mut Defaults,
    mut fields: Fields<'_>,
    movie: Option<&Movie>,
    moof: u64,
) -> Option<()> {
    let (_, flags) = fields.full()?;
    found.track = fields.u32()?;
    let extends = movie.and_then(|movie| movie.extends(found.track)).copied();
    let Extends { duration, size, flags: sample_flags, .. } = extends.unwrap_or_default();
    *defaults = Defaults { base: moof as i64, duration, size, flags: sample_flags };
    found.base_is_moof = flags & 0x2_0000 != 0;
    if flags & 1 != 0 {
        found.absolute_base = true;
        defaults.base = i64::try_from(fields.u64()?).ok()?;
    }
    if flags & 2 != 0 {
        fields.u32()?;
    }
    if flags & 8 != 0 {
        defaults.duration = fields.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = fields.u32()?;
    }
    if flags & 0x20 != 0 {
        defaults.flags = fields.u32()?;
    }
    Some(())
}

/// §8.8.8. `next` is where the data of a run without an offset begins: after the one before.
fn run(
    found: &mut Traf,
    defaults: &Defaults,
    mut fields: Fields<'_>,
    next: &mut Option<i64>,
    left: &mut usize,
) -> Option<()> {
    let (version, flags) = fields.full()?;
    let count = fields.u32()? as usize;
    found.runs += 1;
    found.run_versions.push(version);
    let mut offset = if flags & 1 == 0 {
        found.runs_without_offset += 1;
        next.unwrap_or(defaults.base)
    } else {
        defaults.base.checked_add(i64::from(fields.i32()?))?
    };
    let mut first_flags = if flags & 4 == 0 { None } else { Some(fields.u32()?) };
    // Runs without fields of their own cost nothing to write, however many samples they claim.
    *left = left.checked_sub(count)?;
    for _ in 0..count {
        let duration = if flags & 0x100 == 0 { defaults.duration } else { fields.u32()? };
        let size = if flags & 0x200 == 0 { defaults.size } else { fields.u32()? };
        let mut own = if flags & 0x400 == 0 { defaults.flags } else { fields.u32()? };
        if let Some(first) = first_flags.take() {
            own = first;
        }
        let composition = if flags & 0x800 == 0 { 0 } else { fields.i32()? };
        found.samples.push(Sample {
            offset,
            size,
            duration,
            composition,
            sync: own & 0x1_0000 == 0,
        });
        offset = offset.checked_add(i64::from(size))?;
    }
    *next = Some(offset);
    Some(())
}

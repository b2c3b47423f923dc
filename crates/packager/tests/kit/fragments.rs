//! A writer of fragmented files: every way to say where samples are and when they are decoded.

use super::boxes::{FileSpec, TrackSpec, boxed, full, words};

/// How fragments say where their data is (ISO/IEC 14496-12 §8.8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// default-base-is-moof.
    Moof,
    /// An absolute base-data-offset.
    Absolute,
    /// Neither: the first track fragment counts from the moof, others from the data before.
    Implied,
}

/// What says where fragments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    None,
    /// One `sidx` before all fragments.
    Sidx,
    /// One `sidx` before each fragment.
    SidxEach,
    Mfra,
    /// A `sidx` whose sizes are wrong.
    WrongSidx,
}

/// A fragmented file of these tracks.
#[derive(Debug, Clone)]
pub struct FragmentedSpec {
    pub tracks: Vec<TrackSpec>,
    /// Samples of each track in one fragment.
    pub samples: usize,
    /// Samples of each track in the movie box.
    pub in_movie: usize,
    pub base: Base,
    pub finder: Finder,
    /// The version of `tfdt`; `None` for none.
    pub tfdt: Option<u8>,
    /// The decode time of the first sample in seconds.
    pub start: u64,
    /// How many runs a track fragment has.
    pub runs: usize,
    /// A track fragment for each run.
    pub split: bool,
    /// Says defaults in `trex` and `tfhd` where samples allow it.
    pub defaults: bool,
    /// An unknown box before each fragment.
    pub noise: bool,
    /// A movie box at the end that has all samples.
    pub final_movie: bool,
}

const NOT_SYNC: u32 = 0x0101_0000;
const SYNC: u32 = 0x0200_0000;

impl FragmentedSpec {
    pub fn new(tracks: Vec<TrackSpec>, samples: usize) -> Self {
        Self {
            tracks,
            samples,
            in_movie: 0,
            base: Base::Moof,
            finder: Finder::None,
            tfdt: Some(1),
            start: 0,
            runs: 1,
            split: false,
            defaults: false,
            noise: false,
            final_movie: false,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.parts().concat()
    }

    /// The head of the file, its fragments, and what follows them.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![self.head()];
        // Sizes do not depend on places, so a first pass tells them.
        let sizes: Vec<usize> = (0..self.fragments()).map(|n| self.fragment(n, 0).len()).collect();
        if matches!(self.finder, Finder::Sidx | Finder::WrongSidx) {
            let wrong = usize::from(self.finder == Finder::WrongSidx) * 5;
            let sizes: Vec<usize> = sizes.iter().map(|size| size + wrong).collect();
            parts.push(sidx(&sizes));
        }
        let mut moofs = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let mut before = Vec::new();
            if self.noise {
                before.extend(boxed(*b"emsg", &[0; 40]));
            }
            if self.finder == Finder::SidxEach {
                before.extend(sidx(&[*size]));
            }
            let at = parts.iter().map(Vec::len).sum::<usize>() + before.len();
            moofs.push(at as u64);
            before.extend(self.fragment(number, at as u64));
            parts.push(before);
        }
        if self.finder == Finder::Mfra {
            parts.push(self.mfra(&moofs));
        }
        if self.final_movie {
            parts.push(self.final_moov(&moofs));
        }
        parts
    }

    pub fn fragments(&self) -> usize {
        let longest = self.tracks.iter().map(|track| track.sizes.len()).max().unwrap_or(0);
        longest.saturating_sub(self.in_movie).div_ceil(self.samples)
    }

    fn head(&self) -> Vec<u8> {
        let tracks = self.tracks.iter().map(|track| first(track, self.in_movie)).collect();
        let mut head = FileSpec::new(tracks);
        head.free = 8;
        let plain = head.bytes();
        let mut mvex = Vec::new();
        for track in &self.tracks {
            let duration = if self.defaults { track.durations[0].1 } else { 0 };
            let flags = if track.sync.is_some() { NOT_SYNC } else { SYNC };
            mvex.extend(full(*b"trex", 0, 0, &words(&[track.number, 1, duration, 0, flags])));
        }
        let mvex = boxed(*b"mvex", &mvex);
        // The samples behind it move by as much: the movie box is made for that place.
        let ftyp = &plain[..20];
        let data = plain.len() + mvex.len() - data_len(&head);
        let moov = head.moov(data as u64);
        let mut grown = ((moov.len() + mvex.len()) as u32).to_be_bytes().to_vec();
        grown.extend(&moov[4..]);
        grown.extend(mvex);
        [ftyp, &grown, &plain[20 + moov.len()..]].concat()
    }

    /// The samples of a track in a fragment.
    fn range(&self, track: &TrackSpec, number: usize) -> std::ops::Range<usize> {
        let all = track.sizes.len();
        let from = (self.in_movie + number * self.samples).min(all);
        from..(from + self.samples).min(all)
    }

    fn fragment(&self, number: usize, at: u64) -> Vec<u8> {
        let moof_len = self.moof(number, at, 0).len();
        let moof = self.moof(number, at, moof_len + 8);
        let mut data = Vec::new();
        for (position, track) in self.tracks.iter().enumerate() {
            for sample in self.range(track, number) {
                data.extend(stamp(position, sample, track.sizes[sample] as usize));
            }
        }
        [moof, boxed(*b"mdat", &data)].concat()
    }

    fn moof(&self, number: usize, at: u64, data: usize) -> Vec<u8> {
        let mut moof = full(*b"mfhd", 0, 0, &words(&[number as u32 + 1]));
        let mut place = data;
        let mut first_traf = true;
        for track in &self.tracks {
            let range = self.range(track, number);
            if range.is_empty() {
                continue;
            }
            let step = range.len().div_ceil(self.runs.max(1));
            let runs: Vec<_> = range
                .clone()
                .step_by(step)
                .map(|from| from..(from + step).min(range.end))
                .collect();
            let groups: Vec<Vec<_>> = if self.split {
                runs.into_iter().map(|run| vec![run]).collect()
            } else {
                vec![runs]
            };
            for group in groups {
                let start = place;
                let traf = self.traf(track, &group, at, &mut place, first_traf);
                assert!(place > start);
                moof.extend(traf);
                first_traf = false;
            }
        }
        boxed(*b"moof", &moof)
    }

    fn traf(
        &self,
        track: &TrackSpec,
        runs: &[std::ops::Range<usize>],
        at: u64,
        place: &mut usize,
        first_traf: bool,
    ) -> Vec<u8> {
        let (mut flags, mut fields) = (0, words(&[track.number]));
        match self.base {
            Base::Moof => flags |= 0x02_0000,
            Base::Absolute => {
                flags |= 1;
                fields.extend(at.to_be_bytes());
            }
            Base::Implied => {}
        }
        if self.defaults {
            flags |= 0x20;
            fields.extend(words(&[if track.sync.is_some() { NOT_SYNC } else { SYNC }]));
        }
        let mut traf = full(*b"tfhd", 0, flags, &fields);
        let time = self.start * u64::from(track.timescale) + decode_time(track, runs[0].start);
        match self.tfdt {
            Some(0) => traf.extend(full(*b"tfdt", 0, 0, &words(&[time as u32]))),
            Some(_) => traf.extend(full(*b"tfdt", 1, 0, &time.to_be_bytes())),
            None => {}
        }
        let base = *place;
        for (index, run) in runs.iter().enumerate() {
            traf.extend(self.trun(track, run.clone(), *place, base, index, first_traf));
            *place += run.clone().map(|sample| track.sizes[sample] as usize).sum::<usize>();
        }
        boxed(*b"traf", &traf)
    }

    fn trun(
        &self,
        track: &TrackSpec,
        run: std::ops::Range<usize>,
        place: usize,
        base: usize,
        index: usize,
        first_traf: bool,
    ) -> Vec<u8> {
        let mut flags = 0x200;
        let mut fields = words(&[run.len() as u32]);
        let from = if self.base == Base::Implied && !first_traf { base } else { 0 };
        // A run that follows another may leave its offset out.
        let implied = (self.base == Base::Implied && !first_traf) || index > 0;
        if !implied {
            flags |= 1;
            fields.extend(((place - from) as i32).to_be_bytes());
        }
        let sync = |sample: usize| {
            track.sync.as_ref().is_none_or(|all| all.contains(&(sample as u32 + 1)))
        };
        let only_first = self.defaults && run.clone().skip(1).all(|sample| !sync(sample));
        if track.sync.is_some() {
            if only_first {
                flags |= 4;
                fields.extend(words(&[if sync(run.start) { SYNC } else { NOT_SYNC }]));
            } else {
                flags |= 0x400;
            }
        }
        if !self.defaults {
            flags |= 0x100;
        }
        if !track.offsets.is_empty() {
            flags |= 0x800;
        }
        for sample in run {
            if flags & 0x100 != 0 {
                fields.extend(words(&[duration(track, sample)]));
            }
            fields.extend(words(&[track.sizes[sample]]));
            if flags & 0x400 != 0 {
                fields.extend(words(&[if sync(sample) { SYNC } else { NOT_SYNC }]));
            }
            if flags & 0x800 != 0 {
                fields.extend(at_run(&track.offsets, sample).to_be_bytes());
            }
        }
        full(*b"trun", 1, flags, &fields)
    }

    fn mfra(&self, moofs: &[u64]) -> Vec<u8> {
        let mut tfra = words(&[self.tracks[0].number, 0, moofs.len() as u32]);
        for moof in moofs {
            tfra.extend([0_u64.to_be_bytes(), moof.to_be_bytes()].concat());
            tfra.extend([1, 1, 1]);
        }
        let tfra = full(*b"tfra", 1, 0, &tfra);
        let len = (tfra.len() + 8 + 16) as u32;
        boxed(*b"mfra", &[tfra, full(*b"mfro", 0, 0, &words(&[len]))].concat())
    }

    /// A movie box with all samples where the fragments have them; one sample a chunk.
    fn final_moov(&self, moofs: &[u64]) -> Vec<u8> {
        let mut moov = words(&[0, 0, 1_000, 0]);
        moov.extend([0; 80]);
        let mut moov = full(*b"mvhd", 0, 0, &moov);
        for (position, track) in self.tracks.iter().enumerate() {
            let mut chunks = Vec::new();
            for (number, at) in moofs.iter().enumerate() {
                let mut place = *at + self.moof(number, *at, 0).len() as u64 + 8;
                for (other, spec) in self.tracks.iter().enumerate() {
                    for sample in self.range(spec, number) {
                        if other == position {
                            chunks.push(place);
                        }
                        place += u64::from(spec.sizes[sample]);
                    }
                }
            }
            let mut all = track.clone();
            all.samples_per_chunk = 1;
            moov.extend(all.trak(&chunks));
        }
        boxed(*b"moov", &moov)
    }
}

/// Sample bytes tell which track and sample they are of.
pub fn stamp(track: usize, sample: usize, size: usize) -> Vec<u8> {
    let stamp = (track as u32) << 28 | sample as u32;
    stamp.to_be_bytes().into_iter().cycle().take(size).collect()
}

/// When a sample is decoded, from the track's first.
pub fn decode_time(track: &TrackSpec, sample: usize) -> u64 {
    (0..sample).map(|sample| u64::from(duration(track, sample))).sum()
}

pub fn duration(track: &TrackSpec, sample: usize) -> u32 {
    at_run(&track.durations, sample)
}

/// The value of a run-length table at a sample.
pub fn at_run<T: Copy>(runs: &[(u32, T)], sample: usize) -> T {
    let mut before = 0;
    let found = runs.iter().find(|run| {
        before += run.0 as usize;
        sample < before
    });
    found.unwrap_or(&runs[runs.len() - 1]).1
}

/// The first samples of a track.
fn first(track: &TrackSpec, count: usize) -> TrackSpec {
    let mut head = track.clone();
    let count = count.min(track.sizes.len());
    head.sizes.truncate(count);
    let each = |sample: usize| (1, duration(track, sample));
    head.durations = (0..count).map(each).collect();
    if !track.offsets.is_empty() {
        head.offsets = (0..count).map(|sample| (1, at_run(&track.offsets, sample))).collect();
    }
    if let Some(sync) = &mut head.sync {
        sync.retain(|number| *number <= count as u32);
    }
    head
}

fn data_len(file: &FileSpec) -> usize {
    file.tracks.iter().flat_map(|track| &track.sizes).map(|size| *size as usize).sum()
}

fn sidx(sizes: &[usize]) -> Vec<u8> {
    let mut sidx = words(&[1, 1_000, 0, 0, sizes.len() as u32]);
    for size in sizes {
        sidx.extend(words(&[*size as u32, 1_000, 0x9000_0000]));
    }
    full(*b"sidx", 0, 0, &sidx)
}

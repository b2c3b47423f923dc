//! A small writer of whole files for tests: what FFmpeg does not write, and what is broken.

/// A box.
pub fn boxed(kind: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let mut out = ((contents.len() + 8) as u32).to_be_bytes().to_vec();
    out.extend(kind);
    out.extend(contents);
    out
}

/// A box with version and flags.
pub fn full(kind: [u8; 4], version: u8, flags: u32, contents: &[u8]) -> Vec<u8> {
    let mut inner = (u32::from(version) << 24 | flags).to_be_bytes().to_vec();
    inner.extend(contents);
    boxed(kind, &inner)
}

/// 32-bit numbers.
pub fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A table: count, then entries.
pub fn table(rows: &[Vec<u32>]) -> Vec<u8> {
    let mut out = words(&[rows.len() as u32]);
    for row in rows {
        out.extend(words(row));
    }
    out
}

/// A track to be written.
#[derive(Debug, Clone)]
pub struct TrackSpec {
    pub number: u32,
    pub video: bool,
    pub timescale: u32,
    pub sizes: Vec<u32>,
    /// (count, delta)
    pub durations: Vec<(u32, u32)>,
    /// (count, offset); empty for no ctts.
    pub offsets: Vec<(u32, i32)>,
    pub offsets_version: u8,
    /// From 1; `None` for no stss.
    pub sync: Option<Vec<u32>>,
    /// (duration in ms, media time, rate 16.16)
    pub edits: Vec<(u64, i64, i32)>,
    pub wide_edits: bool,
    pub samples_per_chunk: u32,
    pub wide_chunks: bool,
    /// 4, 8 or 16 for stz2, 0 for stsz.
    pub compact_sizes: u8,
    pub language: [u8; 3],
    pub enabled: bool,
    pub alternate_group: u16,
    /// Clockwise, in degrees: quarter turns.
    pub rotation: u16,
    /// Of a track that is neither picture nor sound.
    pub handler: Option<[u8; 4]>,
    pub entry: Option<Vec<u8>>,
}

impl TrackSpec {
    /// `count` pictures of `size` bytes at 25 per second, a sync sample each `gop`.
    pub fn video(count: u32, size: u32, gop: u32) -> Self {
        Self {
            number: 1,
            video: true,
            timescale: 12_800,
            sizes: (0..count).map(|number| size + number % 7).collect(),
            durations: vec![(count, 512)],
            offsets: Vec::new(),
            offsets_version: 0,
            sync: Some((0..count).step_by(gop as usize).map(|number| number + 1).collect()),
            edits: Vec::new(),
            wide_edits: false,
            samples_per_chunk: 10,
            wide_chunks: false,
            compact_sizes: 0,
            language: *b"und",
            enabled: true,
            alternate_group: 0,
            rotation: 0,
            handler: None,
            entry: None,
        }
    }

    /// `count` frames of sound at 48 kHz.
    pub fn audio(count: u32, size: u32) -> Self {
        Self {
            number: 2,
            video: false,
            timescale: 48_000,
            durations: vec![(count, 1_024)],
            sync: None,
            samples_per_chunk: 3,
            ..Self::video(count, size, count.max(1))
        }
    }

    fn entry(&self) -> Vec<u8> {
        self.entry.clone().unwrap_or_else(|| if self.video { avc1() } else { mp4a(b"\x11\x90") })
    }

    pub fn trak(&self, chunk_offsets: &[u64]) -> Vec<u8> {
        let mut tkhd = words(&[0, 0, self.number, 0, 0, 0, 0, self.alternate_group.into(), 0]);
        let (a, b): (i32, i32) = match self.rotation {
            90 => (0, 1),
            180 => (-1, 0),
            270 => (0, -1),
            _ => (1, 0),
        };
        let [a, b, c, d] = [a, b, -b, a].map(|cell| (cell << 16).cast_unsigned());
        tkhd.extend(words(&[a, b, 0, c, d, 0, 0, 0, 1 << 30]));
        tkhd.extend(words(&[1280 << 16, 720 << 16]));
        let mut trak = full(*b"tkhd", 0, u32::from(self.enabled), &tkhd);
        if !self.edits.is_empty() {
            let mut elst = words(&[self.edits.len() as u32]);
            for (duration, media_time, rate) in &self.edits {
                if self.wide_edits {
                    elst.extend(duration.to_be_bytes());
                    elst.extend(media_time.to_be_bytes());
                } else {
                    elst.extend((*duration as u32).to_be_bytes());
                    elst.extend((*media_time as i32).to_be_bytes());
                }
                elst.extend(rate.to_be_bytes());
            }
            trak.extend(boxed(*b"edts", &full(*b"elst", u8::from(self.wide_edits), 0, &elst)));
        }
        let packed = self
            .language
            .iter()
            .fold(0_u32, |packed, letter| packed << 5 | u32::from(letter - 0x60));
        let mut mdia = full(*b"mdhd", 0, 0, &words(&[0, 0, self.timescale, 0, packed << 16]));
        let handler = self.handler.unwrap_or(if self.video { *b"vide" } else { *b"soun" });
        let mut hdlr = words(&[0]);
        hdlr.extend(handler);
        hdlr.extend([0; 13]);
        mdia.extend(full(*b"hdlr", 0, 0, &hdlr));
        let mut dref = words(&[1]);
        dref.extend(full(*b"url ", 0, 1, &[]));
        let mut minf = boxed(*b"dinf", &full(*b"dref", 0, 0, &dref));
        minf.extend(boxed(*b"stbl", &self.stbl(chunk_offsets)));
        mdia.extend(boxed(*b"minf", &minf));
        trak.extend(boxed(*b"mdia", &mdia));
        boxed(*b"trak", &trak)
    }

    fn stbl(&self, chunk_offsets: &[u64]) -> Vec<u8> {
        let mut stsd = words(&[1]);
        stsd.extend(self.entry());
        let mut stbl = full(*b"stsd", 0, 0, &stsd);
        let rows = |runs: &[(u32, u32)]| -> Vec<Vec<u32>> {
            runs.iter().map(|run| vec![run.0, run.1]).collect()
        };
        stbl.extend(full(*b"stts", 0, 0, &table(&rows(&self.durations))));
        if !self.offsets.is_empty() {
            let runs: Vec<_> =
                self.offsets.iter().map(|run| (run.0, run.1.cast_unsigned())).collect();
            stbl.extend(full(*b"ctts", self.offsets_version, 0, &table(&rows(&runs))));
        }
        if let Some(sync) = &self.sync {
            let rows: Vec<_> = sync.iter().map(|number| vec![*number]).collect();
            stbl.extend(full(*b"stss", 0, 0, &table(&rows)));
        }
        stbl.extend(full(*b"stsc", 0, 0, &table(&[vec![1, self.samples_per_chunk, 1]])));
        if self.compact_sizes == 0 {
            let mut stsz = words(&[0, self.sizes.len() as u32]);
            stsz.extend(words(&self.sizes));
            stbl.extend(full(*b"stsz", 0, 0, &stsz));
        } else {
            let mut stz2 = words(&[u32::from(self.compact_sizes), self.sizes.len() as u32]);
            match self.compact_sizes {
                4 => stz2.extend(
                    self.sizes
                        .chunks(2)
                        .map(|pair| (pair[0] << 4 | pair.get(1).copied().unwrap_or(0)) as u8),
                ),
                8 => stz2.extend(self.sizes.iter().map(|size| *size as u8)),
                _ => stz2.extend(self.sizes.iter().flat_map(|size| (*size as u16).to_be_bytes())),
            }
            stbl.extend(full(*b"stz2", 0, 0, &stz2));
        }
        if self.wide_chunks {
            let mut co64 = words(&[chunk_offsets.len() as u32]);
            co64.extend(chunk_offsets.iter().flat_map(|offset| offset.to_be_bytes()));
            stbl.extend(full(*b"co64", 0, 0, &co64));
        } else {
            let rows: Vec<_> = chunk_offsets.iter().map(|offset| vec![*offset as u32]).collect();
            stbl.extend(full(*b"stco", 0, 0, &table(&rows)));
        }
        stbl
    }
}

/// A file: its chunks interleaved, the movie box in front or at the end.
#[derive(Debug, Clone)]
pub struct FileSpec {
    pub tracks: Vec<TrackSpec>,
    pub moov_first: bool,
    pub mvex: bool,
    /// Bytes of a `free` box between `moov` and `mdat`.
    pub free: usize,
    /// Which tracks the next chunks are of, before each turn of all.
    pub turns: Vec<usize>,
    /// Chunks in an `mdat`, with an unknown box before the next; 0 for all in one.
    pub chunks_per_mdat: usize,
}

const FTYP: &[u8] = b"isom\0\0\0\0isom";

/// What stands between two `mdat`s, and the header of the second.
const BETWEEN_MDATS: &[u8] = b"\0\0\0\x0cwhat\x01\x02\x03\x04";
const MDAT_HEADER: u64 = 8;

impl FileSpec {
    pub fn new(tracks: Vec<TrackSpec>) -> Self {
        Self {
            tracks,
            moov_first: true,
            mvex: false,
            free: 0,
            turns: Vec::new(),
            chunks_per_mdat: 0,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let ftyp = boxed(*b"ftyp", FTYP);
        let free = if self.free == 0 { Vec::new() } else { boxed(*b"free", &vec![0; self.free]) };
        // The movie box is as long with any offsets.
        let moov_len = self.moov(0).len();
        let before = ftyp.len() + if self.moov_first { moov_len + free.len() } else { 0 };
        let moov = self.moov(before as u64 + 8);
        let mdat = self.mdats();
        if self.moov_first {
            [ftyp, moov, free, mdat].concat()
        } else {
            [ftyp, mdat, free, moov].concat()
        }
    }

    /// Where the samples of a track lie in the file.
    pub fn places(&self, track: usize) -> Vec<std::ops::Range<usize>> {
        let moov = if self.moov_first { self.moov(0).len() } else { 0 };
        let free = if self.moov_first && self.free > 0 { self.free + 8 } else { 0 };
        let data = FTYP.len() + 8 + moov + free + MDAT_HEADER as usize;
        let chunks = self.layout().into_iter().filter(|chunk| chunk.track == track);
        let places = chunks.flat_map(|chunk| {
            let mut at = data + chunk.offset as usize;
            let sizes = self.tracks[track].sizes[chunk.samples].to_vec();
            sizes.into_iter().map(move |size| {
                let from = at;
                at += size as usize;
                from..at
            })
        });
        places.collect()
    }

    /// The bytes before the samples, the movie box among them, and the length that the whole file
    /// has: for files whose samples need not exist.
    pub fn head(&self) -> (Vec<u8>, u64) {
        let ftyp = boxed(*b"ftyp", FTYP);
        let before = (ftyp.len() + self.moov(0).len() + 16) as u64;
        let samples = self.tracks.iter().flat_map(|track| &track.sizes);
        let payload: u64 = samples.map(|size| u64::from(*size)).sum();
        let mut head = [ftyp, self.moov(before)].concat();
        head.extend(words(&[1]));
        head.extend(b"mdat");
        head.extend((payload + 16).to_be_bytes());
        (head, before + payload)
    }

    pub fn moov(&self, data: u64) -> Vec<u8> {
        let layout = self.layout();
        let mut mvhd = words(&[0, 0, 1_000, 0]);
        mvhd.extend([0; 80]);
        let mut moov = full(*b"mvhd", 0, 0, &mvhd);
        for (position, track) in self.tracks.iter().enumerate() {
            let offsets: Vec<_> = layout
                .iter()
                .filter(|chunk| chunk.track == position)
                .map(|chunk| data + chunk.offset)
                .collect();
            moov.extend(track.trak(&offsets));
        }
        if self.mvex {
            moov.extend(boxed(*b"mvex", &full(*b"trex", 0, 0, &words(&[1, 1, 0, 0, 0]))));
        }
        boxed(*b"moov", &moov)
    }

    /// Sample bytes tell which track and sample they are of.
    fn mdats(&self) -> Vec<u8> {
        let layout = self.layout();
        let each = if self.chunks_per_mdat == 0 { layout.len() } else { self.chunks_per_mdat };
        let mdats = layout.chunks(each.max(1)).map(|chunks| {
            let samples = chunks.iter().flat_map(|chunk| {
                chunk.samples.clone().map(|sample| {
                    let size = self.tracks[chunk.track].sizes[sample] as usize;
                    let stamp = (chunk.track as u32) << 28 | sample as u32;
                    stamp.to_be_bytes().into_iter().cycle().take(size).collect::<Vec<_>>()
                })
            });
            boxed(*b"mdat", &samples.collect::<Vec<_>>().concat())
        });
        let all: Vec<_> = mdats.collect();
        if all.is_empty() { boxed(*b"mdat", &[]) } else { all.join(BETWEEN_MDATS) }
    }

    /// Where chunks lie, from the start of the first `mdat`'s contents.
    fn layout(&self) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut next = vec![0_usize; self.tracks.len()];
        let mut offset = 0;
        let in_turn = 0..self.tracks.len();
        let turns: Vec<usize> = self.turns.iter().copied().chain(in_turn).collect();
        loop {
            let mut done = true;
            for position in turns.iter().copied() {
                let track = &self.tracks[position];
                let first = next[position];
                let end = (first + track.samples_per_chunk as usize).min(track.sizes.len());
                if first == end {
                    continue;
                }
                done = false;
                let starts = self.chunks_per_mdat > 0 && !chunks.is_empty();
                if starts && chunks.len().is_multiple_of(self.chunks_per_mdat) {
                    offset += BETWEEN_MDATS.len() as u64 + MDAT_HEADER;
                }
                let len: u64 = track.sizes[first..end].iter().map(|size| u64::from(*size)).sum();
                chunks.push(Chunk { track: position, samples: first..end, offset });
                offset += len;
                next[position] = end;
            }
            if done {
                return chunks;
            }
        }
    }
}

struct Chunk {
    track: usize,
    samples: std::ops::Range<usize>,
    offset: u64,
}

/// An `avc1` of 1280x720, High profile, level 3.1.
pub fn avc1() -> Vec<u8> {
    const AVCC: &[u8] = &[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26, 0x67, 0x64, 0, 0x1f, 0xac, 0xd9, 0x40, 0x50, 5, 0xbb,
        1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x83, 0x19, 0x60, 1, 0, 6, 0x68, 0xeb,
        0xe3, 0xcb, 0x22, 0xc0,
    ];
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend([0; 16]);
    entry.extend([5, 0, 2, 0xd0]);
    entry.extend([0; 50]);
    entry.extend(boxed(*b"avcC", AVCC));
    boxed(*b"avc1", &entry)
}

/// An `mp4a` with that AudioSpecificConfig.
pub fn mp4a(config: &[u8]) -> Vec<u8> {
    let len = config.len() as u8;
    let mut esds = vec![3, 23 + len, 0, 1, 0, 4, 15 + len, 0x40, 0x15];
    esds.extend([0; 11]);
    esds.extend([5, len]);
    esds.extend(config);
    esds.extend([6, 1, 2]);
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend([0; 8]);
    entry.extend([0, 2, 0, 16, 0, 0, 0, 0, 0xbb, 0x80, 0, 0]);
    entry.extend(full(*b"esds", 0, 0, &esds));
    boxed(*b"mp4a", &entry)
}

//! A small writer of fragmented MP4, for media that break one rule each.

/// A box.
pub fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
    out
}

fn full(kind: &[u8; 4], version: u8, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut inner = (u32::from(version) << 24 | flags).to_be_bytes().to_vec();
    inner.extend_from_slice(body);
    atom(kind, &inner)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An init segment, as it should be; tests change a field.
#[derive(Clone)]
pub struct Init {
    pub brands: Vec<[u8; 4]>,
    pub minor_version: u32,
    pub moov_first: bool,
    pub file_meta: bool,
    pub video: bool,
    pub format: [u8; 4],
    pub size: (u16, u16),
    pub channels: u16,
    pub transfer: u16,
    pub timescale: u32,
    pub tracks: u32,
    pub trex: bool,
    pub own_samples: u32,
    pub config: bool,
    pub edits: Vec<(u32, i32)>,
}

impl Init {
    pub fn video(width: u16, height: u16) -> Self {
        Self {
            brands: vec![*b"cmfc", *b"iso6"],
            minor_version: 0,
            moov_first: false,
            file_meta: false,
            video: true,
            format: *b"avc1",
            size: (width, height),
            channels: 0,
            transfer: 1,
            timescale: 12_800,
            tracks: 1,
            trex: true,
            own_samples: 0,
            config: true,
            edits: Vec::new(),
        }
    }

    pub fn audio() -> Self {
        Self { video: false, format: *b"mp4a", channels: 2, timescale: 48_000, ..Self::video(0, 0) }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut brands = self.brands[0].to_vec();
        brands.extend(self.minor_version.to_be_bytes());
        brands.extend(self.brands.concat());
        let ftyp = atom(b"ftyp", &brands);
        let tracks: Vec<u8> = (1..=self.tracks).flat_map(|id| self.track(id)).collect();
        let trex: Vec<u8> = (1..=self.tracks)
            .flat_map(|id| full(b"trex", 0, 0, &words(&[id, 1, 0, 0, 0])))
            .collect();
        let mvex = if self.trex { atom(b"mvex", &trex) } else { Vec::new() };
        let mvhd = full(b"mvhd", 0, 0, &[0; 96]);
        let moov = atom(b"moov", &join(&[&mvhd, &tracks, &mvex]));
        let meta = if self.file_meta { full(b"meta", 0, 0, &[]) } else { Vec::new() };
        if self.moov_first { join(&[&moov, &ftyp, &meta]) } else { join(&[&ftyp, &moov, &meta]) }
    }

    fn track(&self, id: u32) -> Vec<u8> {
        let (width, height) = (u32::from(self.size.0) << 16, u32::from(self.size.1) << 16);
        let matrix = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
        let mut head = words(&[0, 0, id, 0, 0, 0, 0, 0, 0]);
        head.extend(words(&matrix));
        head.extend(words(&[width, height]));
        let tkhd = full(b"tkhd", 0, 7, &head);
        let mut edts = Vec::new();
        if !self.edits.is_empty() {
            let mut list = words(&[u32::try_from(self.edits.len()).unwrap()]);
            for (duration, time) in &self.edits {
                list.extend(words(&[*duration, time.cast_unsigned(), 0x1_0000]));
            }
            edts = atom(b"edts", &full(b"elst", 0, 0, &list));
        }
        let mdhd = full(b"mdhd", 0, 0, &words(&[0, 0, self.timescale, 0, 0x55c4_0000]));
        let handler: &[u8] = if self.video { b"vide" } else { b"soun" };
        let hdlr = full(b"hdlr", 0, 0, &join(&[&[0; 4], handler, &[0; 13]]));
        let stsd = full(b"stsd", 0, 0, &join(&[&words(&[1]), &self.entry()]));
        let stsz = full(b"stsz", 0, 0, &words(&[0, self.own_samples]));
        let empty = |kind| full(kind, 0, 0, &words(&[0]));
        let stbl = atom(
            b"stbl",
            &join(&[&stsd, &empty(b"stts"), &empty(b"stsc"), &stsz, &empty(b"stco")]),
        );
        let mdia = atom(b"mdia", &join(&[&mdhd, &hdlr, &atom(b"minf", &stbl)]));
        atom(b"trak", &join(&[&tkhd, &edts, &mdia]))
    }

    fn entry(&self) -> Vec<u8> {
        if self.video {
            let size = u32::from(self.size.0) << 16 | u32::from(self.size.1);
            let fields = join(&[&[0; 24], &size.to_be_bytes(), &[0; 50]]);
            let config = match &self.format {
                b"avc1" | b"avc3" => atom(b"avcC", &[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
                _ => {
                    let mut record = vec![1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93];
                    record.extend([0; 8]);
                    record.extend([3, 0]);
                    atom(b"hvcC", &record)
                }
            };
            let transfer = self.transfer.to_be_bytes();
            let colr = atom(b"colr", &join(&[b"nclx", &[0, 1], &transfer, &[0, 1, 0]]));
            let config = if self.config { config } else { Vec::new() };
            return atom(&self.format, &join(&[&fields, &config, &colr]));
        }
        let channels = self.channels.to_be_bytes();
        let rate = 48_000u32 << 16;
        let fields = join(&[&[0; 16], &channels, &[0; 6], &rate.to_be_bytes()]);
        let mut esds = vec![3, 25, 0, 1, 0, 4, 17, 0x40, 0x15];
        esds.extend([0; 11]);
        esds.extend([5, 2, 0x11, 0x90, 6, 1, 2]);
        atom(&self.format, &join(&[&fields, &full(b"esds", 0, 0, &esds)]))
    }
}

/// A media segment, as it should be.
#[derive(Clone)]
pub struct Segment {
    pub styp: bool,
    pub sequence: u32,
    pub track: u32,
    pub trafs: u32,
    pub base_is_moof: bool,
    pub tfdt: Option<u64>,
    pub run_version: u8,
    pub run_offset: bool,
    /// What is wrong about the offset of the data.
    pub astray: i32,
    /// Duration, size, and whether it is a sync sample.
    pub samples: Vec<(u32, u32, bool)>,
    /// The header of the first sample's NAL unit.
    pub nal: Option<u8>,
    pub mdat: bool,
    /// Boxes between the moof and its mdat.
    pub between: Vec<u8>,
    pub after: Vec<u8>,
    /// How many moofs, and how far the second one's tfdt is off.
    pub second: Option<i64>,
    pub cut: usize,
}

impl Segment {
    fn new(index: u32, samples: Vec<(u32, u32, bool)>, nal: Option<u8>) -> Self {
        let duration: u64 = samples.iter().map(|(duration, ..)| u64::from(*duration)).sum();
        Self {
            styp: true,
            sequence: index + 1,
            track: 1,
            trafs: 1,
            base_is_moof: true,
            tfdt: Some(u64::from(index) * duration),
            run_version: 1,
            run_offset: true,
            astray: 0,
            samples,
            nal,
            mdat: true,
            between: Vec::new(),
            after: Vec::new(),
            second: None,
            cut: 0,
        }
    }

    /// 6 s of video at 25 frames a second.
    pub fn video(index: u32, size: u32) -> Self {
        let samples = (0..150).map(|number| (512, size, number % 50 == 0)).collect();
        Self::new(index, samples, Some(0x65))
    }

    /// One picture of 6 s.
    pub fn picture(index: u32) -> Self {
        Self::new(index, vec![(150 * 512, 800, true)], Some(0x65))
    }

    /// 6 s of audio in frames of 20 ms.
    pub fn audio(index: u32) -> Self {
        Self::new(index, vec![(960, 60, true); 300], None)
    }

    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|(duration, ..)| u64::from(*duration)).sum()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = if self.styp { atom(b"styp", b"cmfs\0\0\0\0cmfc") } else { Vec::new() };
        out.extend(self.fragment(self.sequence, self.tfdt));
        if let Some(off) = self.second {
            let start = self.tfdt.unwrap_or(0) + self.duration();
            out.extend(self.fragment(self.sequence + 1, start.checked_add_signed(off)));
        }
        out.extend(&self.after);
        out.truncate(out.len() - self.cut);
        out
    }

    fn fragment(&self, sequence: u32, tfdt: Option<u64>) -> Vec<u8> {
        let mut moof = self.moof(sequence, tfdt, 0);
        let offset = i32::try_from(moof.len() + self.between.len() + 8).unwrap() + self.astray;
        moof = self.moof(sequence, tfdt, offset);
        moof.extend(&self.between);
        if self.mdat {
            moof.extend(atom(b"mdat", &self.data()));
        }
        moof
    }

    fn moof(&self, sequence: u32, tfdt: Option<u64>, offset: i32) -> Vec<u8> {
        let mfhd = full(b"mfhd", 0, 0, &words(&[sequence]));
        let base = if self.base_is_moof { 0x2_0000 } else { 0 };
        let tfhd = full(b"tfhd", 0, base, &words(&[self.track]));
        let tfdt = tfdt.map_or(Vec::new(), |time| full(b"tfdt", 1, 0, &time.to_be_bytes()));
        let mut run = words(&[u32::try_from(self.samples.len()).unwrap()]);
        if self.run_offset {
            run.extend(offset.to_be_bytes());
        }
        for (duration, size, sync) in &self.samples {
            let flags = if *sync { 0x0200_0000 } else { 0x0101_0000 };
            run.extend(words(&[*duration, *size, flags]));
        }
        let flags = 0x700 | u32::from(self.run_offset);
        let trun = full(b"trun", self.run_version, flags, &run);
        let traf = atom(b"traf", &join(&[&tfhd, &tfdt, &trun]));
        let trafs = traf.repeat(self.trafs as usize);
        atom(b"moof", &join(&[&mfhd, &trafs]))
    }

    fn data(&self) -> Vec<u8> {
        let size: usize = self.samples.iter().map(|(_, size, _)| *size as usize).sum();
        let mut data = vec![0x55; size];
        let first = self.samples.first().map_or(0, |(_, size, _)| *size);
        if let Some(nal) = self.nal.filter(|_| first > 4) {
            data[..4].copy_from_slice(&(first - 4).to_be_bytes());
            data[4] = nal;
        }
        data
    }
}

/// `sidx` over segments of these sizes and durations.
pub fn sidx(timescale: u32, references: &[(u32, u32)], sap: bool) -> Vec<u8> {
    let mut body = words(&[1, timescale, 0, 0]);
    body.extend(u32::try_from(references.len()).unwrap().to_be_bytes());
    for (size, duration) in references {
        body.extend(words(&[*size, *duration, if sap { 0x9000_0000 } else { 0 }]));
    }
    full(b"sidx", 0, 0, &body)
}

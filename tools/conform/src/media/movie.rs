//! The movie box of an init segment (ISO/IEC 14496-12 §8.2 to §8.8; ISO/IEC 23000-19 §7.3.1).

use super::Kind;
use super::boxes::{Atom, Fields, FourCc, walk};
use super::entry::Entry;

/// An init segment.
#[derive(Debug, Default)]
pub(crate) struct Movie {
    /// The kinds of the boxes at the top, in order.
    pub(crate) top: Vec<FourCc>,
    /// The major brand and the compatible ones.
    pub(crate) brands: Vec<FourCc>,
    pub(crate) minor_version: u32,
    pub(crate) tracks: Vec<Track>,
    pub(crate) extends: Vec<Extends>,
    pub(crate) has_mvex: bool,
}

/// `trak`.
#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) id: u32,
    pub(crate) handler: Option<FourCc>,
    pub(crate) timescale: u32,
    /// As it is to be shown: after the matrix, in whole pixels.
    pub(crate) shown: (u32, u32),
    pub(crate) entries: Vec<Entry>,
    /// Samples that the tables of the movie box itself hold.
    pub(crate) own_samples: u64,
    /// Duration, media time and rate of each edit.
    pub(crate) edits: Vec<(u64, i64, i32)>,
    pub(crate) edit_version: u8,
}

/// `trex`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extends {
    pub(crate) track: u32,
    pub(crate) duration: u32,
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

impl Track {
    pub(crate) fn kind(&self) -> Kind {
        match self.handler.map(|handler| handler.0) {
            Some(ref handler) if handler == b"vide" => Kind::Video,
            Some(ref handler) if handler == b"soun" => Kind::Audio,
            _ => Kind::Other,
        }
    }
}

impl Movie {
    /// Reads the first bytes of a file, as far as the movie box.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut movie = Self::default();
        let mut found = false;
        for atom in walk(bytes, 0)? {
            movie.top.push(atom.kind);
            match &atom.kind.0 {
                b"ftyp" => movie.file_type(&atom).ok_or("ftyp is cut off")?,
                b"moov" => {
                    found = true;
                    movie.movie(&atom)?;
                }
                _ => {}
            }
        }
        if found { Ok(movie) } else { Err("there is no moov".to_owned()) }
    }

    /// Whether it claims one of CMAF's structural brands (ISO/IEC 23000-19 §7.2).
    pub(crate) fn is_cmaf(&self) -> bool {
        is_cmaf(&self.brands)
    }

    pub(crate) fn track(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    pub(crate) fn extends(&self, track: u32) -> Option<&Extends> {
        self.extends.iter().find(|extends| extends.track == track)
    }

    /// Every sample entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Track, &Entry)> {
        self.tracks.iter().flat_map(|track| track.entries.iter().map(move |entry| (track, entry)))
    }

    fn file_type(&mut self, atom: &Atom<'_>) -> Option<()> {
        let (brands, minor) = brands(atom)?;
        self.brands = brands;
        self.minor_version = minor;
        Some(())
    }

    fn movie(&mut self, atom: &Atom<'_>) -> Result<(), String> {
        for inner in atom.children(0)? {
            match &inner.kind.0 {
                b"trak" => self.tracks.push(track(&inner)?),
                b"mvex" => {
                    self.has_mvex = true;
                    for trex in inner.children(0)?.iter().filter(|inner| inner.is(b"trex")) {
                        self.extends.extend(extends(trex.fields()));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

pub(crate) fn is_cmaf(brands: &[FourCc]) -> bool {
    brands.iter().any(|brand| matches!(&brand.0, b"cmfc" | b"cmf2"))
}

/// Major and compatible brands, and the minor version, of `ftyp` or `styp`.
pub(crate) fn brands(atom: &Atom<'_>) -> Option<(Vec<FourCc>, u32)> {
    let mut fields = atom.fields();
    let major = fields.fourcc()?;
    let minor = fields.u32()?;
    let mut brands = vec![major];
    while let Some(brand) = fields.fourcc() {
        brands.push(brand);
    }
    Some((brands, minor))
}

fn extends(mut fields: Fields<'_>) -> Option<Extends> {
    fields.full()?;
    let track = fields.u32()?;
    fields.u32()?;
    Some(Extends { track, duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? })
}

fn track(atom: &Atom<'_>) -> Result<Track, String> {
    let mut track = Track::default();
    for inner in atom.children(0)? {
        match &inner.kind.0 {
            b"tkhd" => track.header(inner.fields()).ok_or("tkhd is cut off")?,
            b"edts" => {
                for list in inner.children(0)?.iter().filter(|inner| inner.is(b"elst")) {
                    track.edit_list(list.fields()).ok_or("elst is cut off")?;
                }
            }
            b"mdia" => track.media(&inner)?,
            _ => {}
        }
    }
    Ok(track)
}

impl Track {
    /// Where in the media the presentation begins (§8.6.6): the media time of the first edit that
    /// is not empty.
    pub(crate) fn start_offset(&self) -> i64 {
        self.edits.iter().map(|(_, time, _)| *time).find(|time| *time >= 0).unwrap_or(0)
    }

    /// §8.3.2. The matrix says whether the picture lies on its side.
    fn header(&mut self, mut fields: Fields<'_>) -> Option<()> {
        let (version, _) = fields.full()?;
        fields.sized(version)?;
        fields.sized(version)?;
        self.id = fields.u32()?;
        fields.u32()?;
        fields.sized(version)?;
        fields.take(16)?;
        let (a, b) = (fields.i32()?, fields.i32()?);
        fields.take(28)?;
        let (width, height) = (fields.u32()? >> 16, fields.u32()? >> 16);
        self.shown = if a == 0 && b != 0 { (height, width) } else { (width, height) };
        Some(())
    }

    /// §8.6.6.
    fn edit_list(&mut self, mut fields: Fields<'_>) -> Option<()> {
        let (version, _) = fields.full()?;
        self.edit_version = version;
        let count = fields.u32()?;
        for _ in 0..count {
            let duration = fields.sized(version)?;
            let time = fields.sized(version)?;
            let time = if version == 0 { i64::from(time as u32 as i32) } else { time as i64 };
            self.edits.push((duration, time, fields.i32()?));
        }
        Some(())
    }

    fn media(&mut self, atom: &Atom<'_>) -> Result<(), String> {
        for inner in atom.children(0)? {
            let mut fields = inner.fields();
            match &inner.kind.0 {
                b"mdhd" => {
                    let scale = fields.full().and_then(|(version, _)| {
                        fields.sized(version)?;
                        fields.sized(version)?;
                        fields.u32()
                    });
                    self.timescale = scale.ok_or("mdhd is cut off")?;
                }
                b"hdlr" => {
                    fields.take(8).ok_or("hdlr is cut off")?;
                    self.handler = fields.fourcc();
                }
                b"minf" => {
                    for table in inner.children(0)?.iter().filter(|inner| inner.is(b"stbl")) {
                        self.sample_table(table)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sample_table(&mut self, atom: &Atom<'_>) -> Result<(), String> {
        for inner in atom.children(0)? {
            let mut fields = inner.fields();
            match &inner.kind.0 {
                b"stsd" => {
                    for entry in inner.children(8)? {
                        self.entries.push(Entry::read(&entry, self.kind())?);
                    }
                }
                b"stsz" => {
                    fields.take(8).ok_or("stsz is cut off")?;
                    self.own_samples += u64::from(fields.u32().ok_or("stsz is cut off")?);
                }
                b"stts" | b"stsc" | b"stco" | b"co64" => {
                    fields.take(4).ok_or("a sample table is cut off")?;
                    self.own_samples += u64::from(fields.u32().ok_or("a sample table is cut off")?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

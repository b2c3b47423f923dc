//! Sample entries (ISO/IEC 14496-12 §8.5.2, §12): what a track's samples are, and what its codec
//! string must be.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "byte string literals are references")]

use super::Kind;
use super::boxes::{Atom, FourCc};
use super::codec;

/// One sample entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// The format; that of the original where it is encrypted.
    pub(crate) format: Option<FourCc>,
    pub(crate) encrypted: bool,
    /// RFC 6381, from the configuration record; `None` where there is none that we know.
    pub(crate) codec: Option<String>,
    /// Coded size in pixels.
    pub(crate) size: (u32, u32),
    /// Channels, where the entry's count means something.
    pub(crate) channels: Option<u32>,
    pub(crate) sample_rate: u32,
    /// `transfer_characteristics` of `colr` (ISO/IEC 23091-2).
    pub(crate) transfer: Option<u16>,
    /// How many bytes hold the length of a NAL unit, in H.264 and HEVC.
    pub(crate) nal_length: Option<usize>,
    /// `dvh1.08.02` and the like, from `dvcC` or `dvvC`.
    pub(crate) dolby_vision: Option<String>,
}

impl Entry {
    pub(crate) fn read(atom: &Atom<'_>, kind: Kind) -> Result<Self, String> {
        let mut entry = Self { format: Some(atom.kind), ..Self::default() };
        let short = || format!("{} is cut off", atom.kind);
        let mut fields = atom.fields();
        let skip = match kind {
            Kind::Video => {
                fields.take(24).ok_or_else(short)?;
                let width = fields.u16().ok_or_else(short)?;
                let height = fields.u16().ok_or_else(short)?;
                entry.size = (width.into(), height.into());
                78
            }
            Kind::Audio => {
                fields.take(16).ok_or_else(short)?;
                entry.channels = fields.u16().map(u32::from);
                fields.take(6).ok_or_else(short)?;
                entry.sample_rate = fields.u32().ok_or_else(short)? >> 16;
                28
            }
            Kind::Other => return Ok(entry.plain(atom)),
        };
        let inner = atom.children(skip)?;
        if let Some(sinf) = inner.iter().find(|inner| inner.is(b"sinf")) {
            entry.encrypted = true;
            entry.format = sinf.child(b"frma").and_then(|frma| frma.fields().fourcc());
        }
        let format = entry.format.map(|format| format.0).unwrap_or_default();
        for config in &inner {
            entry.config(&format, config);
        }
        if entry.codec.is_none() {
            entry.codec = codec::without_record(&format);
        }
        Ok(entry)
    }

    fn plain(mut self, atom: &Atom<'_>) -> Self {
        self.codec = codec::without_record(&atom.kind.0);
        self
    }

    fn config(&mut self, format: &[u8; 4], config: &Atom<'_>) {
        let body = config.body;
        match &config.kind.0 {
            b"avcC" => {
                self.codec = codec::avc(format, body);
                self.nal_length = body.get(4).map(|byte| usize::from(byte & 3) + 1);
            }
            b"hvcC" => {
                self.nal_length = body.get(21).map(|byte| usize::from(byte & 3) + 1);
                if !matches!(format, b"dvh1" | b"dvhe") {
                    self.codec = codec::hevc(format, body);
                }
            }
            b"dvcC" | b"dvvC" | b"dvwC" => {
                self.dolby_vision = codec::dolby_vision(format, body);
                if matches!(format, b"dvh1" | b"dvhe" | b"dav1") {
                    self.codec.clone_from(&self.dolby_vision);
                }
            }
            b"av1C" => self.codec = codec::av1(body),
            b"vpcC" => self.codec = codec::vp9(format, body),
            b"esds" => self.codec = codec::mpeg4(body),
            b"dOps" => self.channels = body.get(1).map(|count| u32::from(*count)),
            b"colr" => {
                let mut fields = config.fields();
                if fields.fourcc().is_some_and(|kind| matches!(&kind.0, b"nclx" | b"nclc")) {
                    let _primaries = fields.u16();
                    self.transfer = fields.u16();
                }
            }
            _ => {}
        }
    }

    /// Whether this is a format whose channels the entry's own count gives (AC-3 and its kin say
    /// 2 there, whatever they carry).
    pub(crate) fn channels(&self) -> Option<u32> {
        let format = self.format?.0;
        self.channels.filter(|_| !matches!(&format, b"ac-3" | b"ec-3" | b"ac-4"))
    }
}

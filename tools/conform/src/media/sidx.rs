//! The segment index (ISO/IEC 14496-12 §8.16.3).

use super::boxes::Atom;

/// A `sidx` box.
#[derive(Debug, Clone)]
pub(crate) struct Sidx {
    pub(crate) timescale: u32,
    pub(crate) earliest: u64,
    /// Where the first referenced byte is, in the file.
    pub(crate) first: u64,
    pub(crate) references: Vec<Reference>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) size: u32,
    pub(crate) duration: u32,
    pub(crate) starts_with_sap: bool,
    /// Whether it points at another index.
    pub(crate) index: bool,
}

impl Sidx {
    pub(crate) fn read(atom: &Atom<'_>) -> Option<Self> {
        let mut fields = atom.fields();
        let (version, _) = fields.full()?;
        fields.u32()?;
        let timescale = fields.u32()?;
        let earliest = fields.sized(version)?;
        let offset = fields.sized(version)?;
        fields.u16()?;
        let count = fields.u16()?;
        let mut references = Vec::new();
        for _ in 0..count {
            let size = fields.u32()?;
            let duration = fields.u32()?;
            let sap = fields.u32()?;
            references.push(Reference {
                size: size & 0x7fff_ffff,
                duration,
                starts_with_sap: sap >> 31 == 1,
                index: size >> 31 == 1,
            });
        }
        let first = (atom.start + atom.size).checked_add(offset)?;
        Some(Self { timescale, earliest, first, references })
    }
}

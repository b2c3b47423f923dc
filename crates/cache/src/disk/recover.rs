//! What a folder holds after a restart, whatever ended the process before.
//!
//! Regions are taken in the order in which they were begun, and records in the order in which they
//! were written, so that the last word on a response counts. Nothing here reads a body: what was
//! torn is found out when it is read, and is a miss then.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::folder::{Folder, Region};
use super::index::{Entry, Index, MAX_LEN};
use super::record::{FIXED, Fixed, Kind, Place};
use super::region::{self, HEADER, Item, TRAILER, Trailer};

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// The regions, and the bytes each takes.
    pub(crate) regions: BTreeMap<u32, (Arc<Region>, u64)>,
}

/// Reads what is in the folder. A region that cannot be read is deleted.
pub(crate) fn recover(folder: &Folder) -> io::Result<Recovered> {
    let index = Index::new();
    let mut regions = BTreeMap::new();
    for number in folder.regions()? {
        let read = folder.region(number).and_then(|region| {
            let (items, len) = items(&region)?;
            Ok((region, items, len))
        });
        match read {
            Ok((region, items, len)) if !items.is_empty() => {
                for item in &items {
                    apply(&index, number, item);
                }
                regions.insert(number, (Arc::new(region), len));
            }
            other => {
                if let Err(error) = other {
                    tracing::warn!(number, %error, "a region of the cache cannot be read");
                }
                folder.delete(number)?;
            }
        }
    }
    Ok(Recovered { index, regions })
}

/// What one record does to the index.
pub(crate) fn apply(index: &Index, region: u32, item: &Item) {
    let at = Place { region, offset: item.offset };
    if item.kind == Kind::Removal {
        index.remove(item.hash, |_| true);
        return;
    }
    let (hash, variant) = (item.hash, item.variant);
    index.insert(&Entry { hash, variant, at, len: item.len.min(MAX_LEN), heat: 0 });
}

/// The records of a region, and the length of its file: from its footer, or one by one. Then a
/// footer is written, so that the next restart has it.
fn items(region: &Region) -> io::Result<(Vec<Item>, u64)> {
    let len = region.len()?;
    if len < HEADER as u64 || !region::is_header(&region.read(0, HEADER)?, region.number) {
        return Ok((Vec::new(), len));
    }
    if let Some(from) = len.checked_sub(TRAILER as u64)
        && let Some(trailer) = Trailer::parse(&region.read(from, TRAILER)?, region.number, len)
    {
        let size = usize::try_from(from.saturating_sub(u64::from(trailer.end))).unwrap_or(0);
        if let Some(items) = trailer.items(&region.read(u64::from(trailer.end), size)?) {
            return Ok((items, len));
        }
    }
    let (items, end) = walk(region, len)?;
    let footer = region::footer(region.number, end.offset, &items);
    let from = u64::from(end.offset);
    // On a disk that takes no writes, what is there can still be read.
    let written = region.truncate(from).and_then(|()| region.write(&footer, from));
    if let Err(error) = written.and_then(|()| region.sync()) {
        tracing::warn!(number = region.number, %error, "a region of the cache cannot be closed");
    }
    Ok((items, from + footer.len() as u64))
}

/// Goes from record to record up to the first that does not prove itself, or is not all there.
fn walk(region: &Region, len: u64) -> io::Result<(Vec<Item>, Place)> {
    let mut items = Vec::new();
    let mut at = region::first(region.number);
    while u64::from(at.offset) + FIXED as u64 <= len {
        let bytes = region.read(u64::from(at.offset), FIXED)?;
        let Some(fixed) = Fixed::parse(&bytes, at) else { break };
        let end = u64::from(at.offset) + fixed.len();
        let (Ok(offset), Ok(size)) = (u32::try_from(end), u32::try_from(fixed.len())) else {
            break;
        };
        if end > len {
            break;
        }
        let Fixed { kind, hash, variant, .. } = fixed;
        items.push(Item { kind, hash, variant, offset: at.offset, len: size });
        at.offset = offset;
    }
    Ok((items, at))
}

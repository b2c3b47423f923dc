//! What a folder holds after a restart, whatever ended the process before.
//!
//! Regions are taken in the order in which they were begun, and records in the order in which they
//! were written, so that the last word on a response counts. Nothing here reads a body: what was
//! torn is found out when it is read, and is a miss then.
//!
//! What a region that cannot be read took back or replaced is not known: it goes, and all that is
//! older with it. Only the newest may break off, where its process ended.

use std::collections::{BTreeMap, VecDeque};
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
    pub(crate) regions: BTreeMap<u32, Arc<Region>>,
    /// The regions again, the oldest first, and the bytes that each takes.
    pub(crate) closed: VecDeque<(u32, u64)>,
}

/// Reads what is in the folder. A region that cannot be read, or not as a whole, is deleted with all
/// before it; of the newest, what can be read is kept.
pub(crate) fn recover(folder: &Folder) -> io::Result<Recovered> {
    let index = Index::new();
    let mut regions = BTreeMap::<u32, (Arc<Region>, u64)>::new();
    let numbers = folder.regions()?;
    for &number in &numbers {
        let read = folder.region(number).and_then(|region| {
            let found = records(&region)?;
            if !found.whole && numbers.last() != Some(&number) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok((region, found))
        });
        match read {
            Ok((_, found)) if found.items.is_empty() => folder.delete(number)?,
            Ok((region, found)) => {
                for item in &found.items {
                    apply(&index, number, item);
                }
                regions.insert(number, (Arc::new(region), found.len));
            }
            Err(error) => {
                tracing::warn!(number, %error, "a region of the cache cannot be read");
                index.clear();
                for older in std::mem::take(&mut regions).into_keys() {
                    folder.delete(older)?;
                }
                folder.delete(number)?;
            }
        }
    }
    let closed = regions.iter().map(|(&number, (_, bytes))| (number, *bytes)).collect();
    let regions = regions.into_iter().map(|(number, (region, _))| (number, region)).collect();
    Ok(Recovered { index, regions, closed })
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

/// What a region holds.
struct Found {
    items: Vec<Item>,
    /// Bytes of its file.
    len: u64,
    /// Whether these are all that were written.
    whole: bool,
}

/// The records of a region: from its footer, or one by one. Then a footer is written, so that the
/// next restart has it.
fn records(region: &Region) -> io::Result<Found> {
    let len = region.len()?;
    if len < HEADER as u64 || !region::is_header(&region.read(0, HEADER)?, region.number) {
        return Ok(Found { items: Vec::new(), len, whole: false });
    }
    let mut footer_at = len;
    if let Some(from) = len.checked_sub(TRAILER as u64)
        && let Some(trailer) = Trailer::parse(&region.read(from, TRAILER)?, region.number, len)
    {
        let size = usize::try_from(from.saturating_sub(u64::from(trailer.end))).unwrap_or(0);
        if let Some(items) = trailer.items(&region.read(u64::from(trailer.end), size)?) {
            return Ok(Found { items, len, whole: true });
        }
        footer_at = u64::from(trailer.end);
    }
    let (items, end) = walk(region, len)?;
    let footer = region::footer(region.number, end.offset, &items);
    let from = u64::from(end.offset);
    let whole = from == footer_at;
    // On a disk that takes no writes, what is there can still be read.
    let written = region.truncate(from).and_then(|()| region.append(&footer, from));
    if let Err(error) = written.and_then(|()| region.sync()) {
        tracing::warn!(number = region.number, %error, "a region of the cache cannot be closed");
    }
    Ok(Found { items, len: from + footer.len() as u64, whole })
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

//! Whether a key that a descriptor would have the packager hand out is kept elsewhere: another
//! descriptor names the same file with the URI of a server that asks who wants it. One of the two is
//! a mistake, and the one that gives the key away must not win.
//!
//! Only descriptors in a folder above the key can name it, and assets are not nested deeper than one
//! folder, so few folders are looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::scan::{MAX_ASSETS, inside, is_descriptor, read_descriptor};

/// How many descriptors of one folder are compared, in the order of their names.
const MAX_COMPARED: usize = 1_000;

/// The name of a descriptor that says with `uri` where players get the key in the file `key`. `own`
/// is the descriptor that names it without, in `folder`; `above` is the folder of assets that
/// `folder` is an asset of. All are canonical. Descriptors that cannot be read say nothing.
pub(super) fn keeper(
    key: &Path,
    own: &Path,
    folder: &Path,
    above: Option<&Path>,
) -> Option<String> {
    let between = key.ancestors().skip(1).take_while(|at| at.starts_with(folder));
    between.chain(above).find_map(|folder| {
        descriptors(folder).into_iter().filter(|path| path != own).find_map(|path| {
            let descriptor = read_descriptor(&path).ok()?;
            let (named, uri) = descriptor.segment_key()?;
            uri?;
            let (same, _) = inside(folder, named).ok()?;
            (same == key).then(|| path.file_name().unwrap_or_default().to_string_lossy().into())
        })
    })
}

fn descriptors(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.take(MAX_ASSETS).filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> =
        paths.filter(|path| is_descriptor(path) && path.is_file()).collect();
    found.sort();
    found.truncate(MAX_COMPARED);
    found
}

//! Whether a key that a descriptor would have the packager hand out is kept elsewhere: another
//! descriptor names the same file with the URI of a server that asks who wants it. One of the two is
//! a mistake, and the one that gives the key away must not win.
//!
//! A descriptor that is wrong may be the one that keeps it: it keeps every file that it names
//! anywhere; and one of which nothing can be made, as while an editor writes it, every file that it
//! could name.
//!
//! Only descriptors in a folder above the key can name it, and assets are not nested deeper than one
//! folder, so few folders are looked at: each at most once a second, and of its descriptors only
//! those that have changed are read.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use headwater_net::Timestamp;

use super::scan::{MAX_ASSETS, inside, is_descriptor, read_text};
use super::{FindError, LOOK_AGAIN};
use crate::descriptor::{Descriptor, strings};
use crate::source::file::Stamp;

/// The most folders that are remembered; beyond, the one that was looked at longest ago is forgotten.
const MAX_FOLDERS: usize = 1_024;

/// Why a key is not to be handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// The descriptor of that name says with `uri` where players get it, or is wrong and names it.
    By(String),
    /// Nothing can be made of the descriptor of that name.
    Perhaps(String),
    /// There are more descriptors than are looked at.
    TooMany,
}

/// What descriptors say of keys, by folder.
#[derive(Debug, Default)]
pub(super) struct KeptKeys {
    folders: Mutex<BTreeMap<PathBuf, Folder>>,
}

#[derive(Debug, Default)]
struct Folder {
    looked: Timestamp,
    descriptors: BTreeMap<OsString, (Stamp, Says)>,
    /// The file of a key, and the descriptors that keep it.
    keeps: BTreeMap<PathBuf, Vec<OsString>>,
    too_many: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Says {
    /// It keeps files of these names, where they are any.
    Keeps(Vec<String>),
    /// Nothing can be made of it.
    Unreadable,
}

impl KeptKeys {
    /// Why the key in the file `key` is not to be handed out. `own` is the descriptor that names it
    /// without URI, in `folder`; `above` is the folder of assets that `folder` is an asset of. All
    /// are canonical.
    pub(super) fn find(
        &self,
        key: &Path,
        own: &Path,
        folder: &Path,
        above: Option<&Path>,
        now: Timestamp,
    ) -> Option<Kept> {
        let between = key.ancestors().skip(1).take_while(|at| at.starts_with(folder));
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        between.chain(above).find_map(|path| {
            let own = own.strip_prefix(path).unwrap_or(own).as_os_str();
            if folders.len() >= MAX_FOLDERS && !folders.contains_key(path) {
                let oldest = folders.iter().min_by_key(|(_, folder)| folder.looked);
                let oldest = oldest.map(|(path, _)| path.clone());
                oldest.and_then(|oldest| folders.remove(&oldest));
            }
            let known = folders.entry(path.to_owned()).or_default();
            if known.looked == Timestamp::default() || now.since(known.looked) >= LOOK_AGAIN {
                known.look(path);
                known.looked = now;
            }
            known.keeper(key, own)
        })
    }
}

impl Folder {
    fn look(&mut self, path: &Path) {
        let mut before = std::mem::take(&mut self.descriptors);
        (self.keeps, self.too_many) = (BTreeMap::new(), false);
        // One that cannot be listed, but holds what it holds.
        let Ok(entries) = fs::read_dir(path) else {
            self.too_many = true;
            return;
        };
        for at in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(name) = at.file_name().filter(|_| is_descriptor(&at)) else { continue };
            let Some(metadata) = fs::metadata(&at).ok().filter(fs::Metadata::is_file) else {
                continue;
            };
            if self.descriptors.len() == MAX_ASSETS {
                self.too_many = true;
                return;
            }
            let stamp = Stamp::of(&metadata);
            let says = match before.remove(name) {
                Some((same, says)) if same == stamp => says,
                _ => Says::of(&at),
            };
            self.descriptors.insert(name.to_owned(), (stamp, says));
        }
        for (name, (_, says)) in &self.descriptors {
            let Says::Keeps(named) = says else { continue };
            for file in named {
                if let Ok((file, _)) = inside(path, file) {
                    self.keeps.entry(file).or_default().push(name.clone());
                }
            }
        }
    }

    /// Why `key` is kept by a descriptor of this folder other than `own`: that keeps none now, but may
    /// have done so when the folder was looked at.
    fn keeper(&self, key: &Path, own: &OsStr) -> Option<Kept> {
        let shown = |name: &OsString| name.to_string_lossy().into_owned();
        if self.too_many {
            return Some(Kept::TooMany);
        }
        let mut keepers = self.keeps.get(key).into_iter().flatten();
        if let Some(name) = keepers.find(|name| *name != own) {
            return Some(Kept::By(shown(name)));
        }
        let mut others = self.descriptors.iter().filter(|(name, _)| *name != own);
        others
            .find(|(_, (_, says))| *says == Says::Unreadable)
            .map(|(name, _)| Kept::Perhaps(shown(name)))
    }
}

impl Says {
    fn of(path: &Path) -> Self {
        let text = match read_text(path) {
            Ok(text) => text,
            // Gone since it was listed.
            Err(FindError::Source(crate::source::SourceError::NotFound)) => {
                return Self::Keeps(Vec::new());
            }
            Err(_) => return Self::Unreadable,
        };
        match Descriptor::parse("", text.clone()) {
            Ok(descriptor) => Self::Keeps(match descriptor.segment_key() {
                Some((file, Some(_))) => vec![file.to_owned()],
                _ => Vec::new(),
            }),
            Err(_) => strings(&text).map_or(Self::Unreadable, Self::Keeps),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn one_that_kept_a_key_a_moment_ago_hides_no_other_that_does() {
        let dir = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(dir.path()).unwrap();
        let (key, own) = (folder.join("film.key"), folder.join("a.headwater.json"));
        fs::write(&key, [0; 16]).unwrap();
        // No descriptors, but texts that name it.
        for name in ["a", "b"] {
            let text = r#"["film.key"]"#;
            fs::write(folder.join(format!("{name}.headwater.json")), text).unwrap();
        }
        let kept = KeptKeys::default();
        let find = || kept.find(&key, &own, &folder, None, Timestamp::from_secs(1));
        assert_eq!(find(), Some(Kept::By("b.headwater.json".to_owned())));
        fs::write(&own, "[]").unwrap();
        assert_eq!(find(), Some(Kept::By("b.headwater.json".to_owned())));
    }
}

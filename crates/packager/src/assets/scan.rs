//! Which files make which asset, as the file system has them now. Everything here blocks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AssetsError, name};
use crate::identity::SourceId;
use crate::source::SourceError;
use crate::source::file::{Stamp, require_regular};

/// Extensions of mezzanines, in any case.
pub const EXTENSIONS: [&str; 4] = ["mp4", "m4v", "m4a", "mov"];

/// The most assets that are served; a folder with more is refused.
pub const MAX_ASSETS: usize = 100_000;

/// The most files in an asset's folder that are used, in the order of their names.
pub const MAX_RENDITIONS: usize = 64;

/// Something that the operator named.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// A file that is one asset.
    File(PathBuf),
    /// A folder of assets.
    Folder(PathBuf),
}

impl Root {
    pub(super) fn of(path: PathBuf) -> Result<Self, AssetsError> {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder(path)),
            Ok(_) => Ok(Self::File(path)),
            Err(error) => Err(AssetsError::Unreadable { path, error }),
        }
    }
}

/// Where one asset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One file.
    File(PathBuf),
    /// A folder whose files are renditions.
    Folder(PathBuf),
}

/// A file and what it was when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) path: PathBuf,
    pub(super) id: SourceId,
    pub(super) stamp: Stamp,
}

impl Place {
    /// The files of the asset `name` with their identities, in order.
    pub(super) fn locate(&self, name: &str) -> Result<Vec<Located>, SourceError> {
        let files = match self {
            Self::File(path) => vec![path.clone()],
            Self::Folder(path) => media_files(path)?,
        };
        if files.is_empty() {
            return Err(SourceError::NotFound);
        }
        files
            .into_iter()
            .map(|path| {
                let metadata = fs::metadata(&path)?;
                require_regular(&metadata)?;
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                // What it is called below the operator's folder: the same on every machine.
                let source = match self {
                    Self::File(_) => file.into_owned(),
                    Self::Folder(_) => format!("{name}/{file}"),
                };
                let stamp = Stamp::of(&metadata);
                Ok(Located { path, id: stamp.identity(source), stamp })
            })
            .collect()
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }
}

/// All assets below the roots, by name.
pub(super) fn places(roots: &[Root]) -> Result<BTreeMap<Arc<str>, Place>, AssetsError> {
    let mut found: BTreeMap<Arc<str>, Place> = BTreeMap::new();
    for root in roots {
        let places = match root {
            Root::File(path) => vec![named_by_stem(path)?],
            Root::Folder(path) => folder(path)?,
        };
        for (name, place) in places {
            if let Some(first) = found.get(&*name) {
                return Err(AssetsError::Duplicate {
                    name,
                    first: first.path().to_owned(),
                    second: place.path().to_owned(),
                });
            }
            if found.len() == MAX_ASSETS {
                return Err(AssetsError::TooMany);
            }
            found.insert(name.into(), place);
        }
    }
    Ok(found)
}

fn named_by_stem(path: &Path) -> Result<(String, Place), AssetsError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    match stem.filter(|stem| name::is_usable(stem)) {
        Some(stem) => Ok((stem.to_owned(), Place::File(path.to_owned()))),
        None => Err(AssetsError::BadName(path.to_owned())),
    }
}

/// The assets of one folder. What has no usable name is passed over: people keep other things in
/// folders, too.
fn folder(path: &Path) -> Result<Vec<(String, Place)>, AssetsError> {
    let unreadable = |error| AssetsError::Unreadable { path: path.to_owned(), error };
    let mut places = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Follows links; a broken one is passed over.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| name::is_usable(name)) else { continue };
            if media_files(&path).is_ok_and(|files| !files.is_empty()) {
                places.push((name.to_owned(), Place::Folder(path)));
            }
        } else if metadata.is_file()
            && is_media(&path)
            && let Ok(place) = named_by_stem(&path)
        {
            places.push(place);
        }
        if places.len() > MAX_ASSETS {
            return Err(AssetsError::TooMany);
        }
    }
    places.sort_by(|a, b| (&a.0, a.1.path()).cmp(&(&b.0, b.1.path())));
    Ok(places)
}

/// The mezzanines directly in a folder, by name.
fn media_files(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let visible = path.file_name().and_then(|name| name.to_str()).is_some_and(name::is_usable);
        if visible && is_media(&path) && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_ASSETS {
            break;
        }
    }
    files.sort();
    files.truncate(MAX_RENDITIONS);
    Ok(files)
}

fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|own| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(own)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn files_and_folders_are_assets_and_the_rest_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "b.mp4",
            "a b.MOV",
            "notes.txt",
            ".hidden.mp4",
            "ladder/2.mp4",
            "ladder/1.mp4",
            "ladder/.3.mp4",
            "ladder/deep/4.mp4",
            "pictures/x.jpg",
            ".git/x.mp4",
        ] {
            touch(&dir.path().join(file));
        }
        let found = places(&[Root::Folder(dir.path().to_owned())]).unwrap();
        let names: Vec<&str> = found.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a b", "b", "ladder"]);
        let files = found["ladder"].locate("ladder").unwrap();
        let ids: Vec<&str> = files.iter().map(|file| file.id.name.as_str()).collect();
        assert_eq!(ids, ["ladder/1.mp4", "ladder/2.mp4"]);
    }

    #[test]
    fn two_of_one_name_are_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("a.mp4"));
        touch(&dir.path().join("a/1.mp4"));
        let error = places(&[Root::Folder(dir.path().to_owned())]).unwrap_err();
        assert!(error.to_string().contains("would both be called \"a\""), "{error}");
        let file = dir.path().join("a.mp4");
        let twice = [Root::File(file.clone()), Root::File(file)];
        assert!(matches!(places(&twice), Err(AssetsError::Duplicate { .. })));
    }

    #[test]
    fn a_named_file_needs_no_extension() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("movie");
        touch(&path);
        assert!(places(&[Root::of(path).unwrap()]).unwrap().contains_key("movie"));
        assert!(Root::of(dir.path().join("none")).is_err());
    }
}

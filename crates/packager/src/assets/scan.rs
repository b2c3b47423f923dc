//! Which files make which asset, as the file system has them now. Everything here blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_net::Timestamp;

use super::kept_key::{Kept, KeptKeys};
use super::{AssetsError, FindError, key_file, name, siblings};
use crate::aes128::SegmentKey;
use crate::descriptor::{DESCRIPTOR_SUFFIX, Descriptor, DescriptorError, MAX_DESCRIPTOR_BYTES};
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
    /// A descriptor of one asset.
    Descriptor(PathBuf),
    /// A folder of assets.
    Folder(PathBuf),
}

impl Root {
    pub(super) fn of(path: PathBuf) -> Result<Self, AssetsError> {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder(path)),
            Ok(_) if is_descriptor(&path) => Ok(Self::Descriptor(path)),
            Ok(_) => Ok(Self::File(path)),
            Err(error) => Err(AssetsError::Unreadable { path, error }),
        }
    }
}

/// Where one asset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One file that was named by itself.
    Named(PathBuf),
    /// One file of a folder of assets, unless a descriptor beside it says otherwise.
    File(PathBuf),
    /// Files beside each other that are renditions by their names, unless a descriptor beside them
    /// says otherwise.
    Siblings(Vec<PathBuf>),
    /// A folder whose files are renditions, unless a descriptor in it says otherwise.
    Folder(PathBuf),
    /// What a descriptor says.
    Descriptor(PathBuf),
}

/// A file and what it was when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) path: PathBuf,
    pub(super) id: SourceId,
    pub(super) stamp: Stamp,
}

/// The files of an asset, and what its descriptor says where it has one.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) files: Vec<Located>,
    pub(super) descriptor: Option<Descriptor>,
    /// Out of the file that the descriptor names.
    pub(super) segment_key: Option<SegmentKey>,
}

impl Place {
    /// The files of the asset `name` with their identities, in order, as they are `now`.
    pub(super) fn locate(
        &self,
        name: &str,
        kept: &KeptKeys,
        now: Timestamp,
    ) -> Result<Contents, FindError> {
        let described = |path: &Path, asset| described(path, asset, kept, now);
        let files = match self {
            Self::Named(path) => located([path], ToOwned::to_owned)?,
            Self::File(path) => {
                if let Some(descriptor) = descriptor_beside(path, name)? {
                    return described(&descriptor, None);
                }
                if let Some(base) = siblings::base(name)
                    && descriptor_beside(path, base)?.is_some()
                {
                    return Err(SourceError::NotFound.into());
                }
                located([path], ToOwned::to_owned)?
            }
            Self::Siblings(paths) => {
                if let Some(descriptor) = descriptor_beside(self.path(), name)? {
                    return described(&descriptor, None);
                }
                let there = paths.iter().take(MAX_RENDITIONS).filter(|path| path.is_file());
                located(there, ToOwned::to_owned)?
            }
            Self::Folder(path) => {
                if let Some(descriptor) = descriptor_in(path)? {
                    return described(&descriptor, Some(name));
                }
                let files = media_files(path)?;
                // What it is called below the operator's folder: the same on every machine.
                located(&files, |file| format!("{name}/{file}"))?
            }
            Self::Descriptor(path) => return described(path, None),
        };
        if files.is_empty() {
            return Err(SourceError::NotFound.into());
        }
        Ok(Contents { files, descriptor: None, segment_key: None })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::File(path) | Self::Folder(path) | Self::Descriptor(path) => {
                path
            }
            Self::Siblings(paths) => paths.first().map_or(Path::new(""), PathBuf::as_path),
        }
    }
}

fn located<'a>(
    paths: impl IntoIterator<Item = &'a PathBuf>,
    identity: impl Fn(&str) -> String,
) -> Result<Vec<Located>, SourceError> {
    paths
        .into_iter()
        .map(|path| {
            let metadata = fs::metadata(path)?;
            require_regular(&metadata)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let stamp = Stamp::of(&metadata);
            Ok(Located { path: path.clone(), id: stamp.identity(identity(&file)), stamp })
        })
        .collect()
}

/// The descriptor of the asset `name` beside a file. It is looked for with the file, not left to the
/// next scan of the folder: it may hold a key, without which all of the asset would be in clear. So
/// what cannot be looked at is an error.
fn descriptor_beside(file: &Path, name: &str) -> Result<Option<PathBuf>, SourceError> {
    let path = file.with_file_name(format!("{name}{DESCRIPTOR_SUFFIX}"));
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(path)),
        // A long name leaves no room for the suffix.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The one descriptor in an asset's folder.
fn descriptor_in(folder: &Path) -> Result<Option<PathBuf>, FindError> {
    let mut found: Option<PathBuf> = None;
    for entry in fs::read_dir(folder).map_err(SourceError::from)?.take(MAX_ASSETS) {
        let path = entry.map_err(SourceError::from)?.path();
        if !is_descriptor(&path) || !path.is_file() {
            continue;
        }
        if let Some(other) = found {
            let (first, second) = (file_name(&other.min(path.clone())), file_name(&path));
            let message = format!("the folder holds another descriptor, {second}");
            return Err(DescriptorError::whole(&first, message).into());
        }
        found = Some(path);
    }
    Ok(found)
}

/// A descriptor's text as it is now.
pub(super) fn read_text(path: &Path) -> Result<String, FindError> {
    let file = file_name(path);
    let metadata = fs::metadata(path).map_err(SourceError::from)?;
    require_regular(&metadata)?;
    if metadata.len() > MAX_DESCRIPTOR_BYTES {
        let message = format!("it is longer than {MAX_DESCRIPTOR_BYTES} bytes");
        return Err(DescriptorError::whole(&file, message).into());
    }
    let mut text = Vec::new();
    let reader = fs::File::open(path).map_err(SourceError::from)?;
    reader.take(MAX_DESCRIPTOR_BYTES).read_to_end(&mut text).map_err(SourceError::from)?;
    String::from_utf8(text)
        .map_err(|_| DescriptorError::whole(&file, "it is not valid UTF-8").into())
}

/// What a descriptor says, and its files. It is that of the folder `asset` where there is one.
fn described(
    path: &Path,
    asset: Option<&str>,
    kept: &KeptKeys,
    now: Timestamp,
) -> Result<Contents, FindError> {
    let descriptor = Descriptor::parse(&file_name(path), read_text(path)?)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).map_err(SourceError::from)?;
    let mut files = Vec::new();
    for named in descriptor.files() {
        let (path, metadata) =
            inside(&folder, &named.path).map_err(|why| descriptor.bad_file(&named, &why))?;
        let stamp = Stamp::of(&metadata);
        let source = match asset {
            Some(asset) => format!("{asset}/{}", named.path),
            None => named.path,
        };
        files.push(Located { path, id: stamp.identity(source), stamp });
    }
    let segment_key = match descriptor.segment_key() {
        None => None,
        Some((named, uri)) => {
            let (at, _) = inside(&folder, named).map_err(|why| descriptor.bad_key(why))?;
            let key =
                key_file::read(&at).map_err(|why| descriptor.bad_key(format!("{named} {why}")))?;
            if let Some(uri) = uri {
                Some(key.at(uri))
            } else {
                let own = folder.join(path.file_name().unwrap_or_default());
                let above = folder.parent().filter(|_| asset.is_some());
                if let Some(kept) = kept.find(&at, &own, &folder, above, now) {
                    return Err(descriptor.bad_key(not_given_away(named, &kept)).into());
                }
                Some(key)
            }
        }
    };
    Ok(Contents { files, descriptor: Some(descriptor), segment_key })
}

fn not_given_away(key: &str, kept: &Kept) -> String {
    let why = match kept {
        Kept::By(other) => format!("{other} names {key} with `uri`, so a server of yours keeps it"),
        Kept::Perhaps(other) => {
            format!("{other} cannot be understood and may say that a server of yours keeps {key}")
        }
        Kept::TooMany => {
            format!(
                "beside it are more descriptors than are looked at, one of which may keep {key}"
            )
        }
    };
    format!(
        "{why}, and without `uri` the packager hands it to everyone: say `uri` here, too, or take \
         another key"
    )
}

/// A regular file below a descriptor's folder; or why it is none. Links are followed, but not out
/// of the folder: a descriptor may come from a stranger.
pub(super) fn inside(folder: &Path, named: &str) -> Result<(PathBuf, fs::Metadata), String> {
    let unreadable = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => format!("there is no file {named}"),
        kind => format!("{named} cannot be read: {kind}"),
    };
    let path = fs::canonicalize(folder.join(named)).map_err(unreadable)?;
    if !path.starts_with(folder) {
        return Err(format!("{named} leads out of the descriptor's folder"));
    }
    let metadata = fs::metadata(&path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("{named} is not a regular file"));
    }
    Ok((path, metadata))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// All assets below the roots, by name.
pub(super) fn places(roots: &[Root]) -> Result<BTreeMap<Arc<str>, Place>, AssetsError> {
    let mut found: BTreeMap<Arc<str>, Place> = BTreeMap::new();
    for root in roots {
        let places = match root {
            Root::File(path) => vec![named_by_file(path, Place::Named)?],
            Root::Descriptor(path) => vec![named_by_file(path, Place::Descriptor)?],
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

/// What a file that is an asset of its own is called: its name without extension, or without what
/// makes it a descriptor. `None` where that cannot stand in a URL.
pub fn asset_name(path: &Path) -> Option<&str> {
    let file = path.file_name()?.to_str()?;
    let name = match descriptor_name(file) {
        Some(name) => name,
        None => path.file_stem()?.to_str()?,
    };
    Some(name).filter(|name| name::is_usable(name))
}

fn named_by_file(
    path: &Path,
    place: impl FnOnce(PathBuf) -> Place,
) -> Result<(String, Place), AssetsError> {
    match asset_name(path) {
        Some(name) => Ok((name.to_owned(), place(path.to_owned()))),
        None => Err(AssetsError::BadName(path.to_owned())),
    }
}

/// The asset that a file is the descriptor of, by its name.
fn descriptor_name(file: &str) -> Option<&str> {
    let split = file.len().checked_sub(DESCRIPTOR_SUFFIX.len())?;
    let (name, suffix) = file.split_at_checked(split)?;
    (!name.is_empty() && suffix.eq_ignore_ascii_case(DESCRIPTOR_SUFFIX)).then_some(name)
}

pub(super) fn is_descriptor(path: &Path) -> bool {
    let file = path.file_name().and_then(|file| file.to_str());
    file.is_some_and(|file| !file.starts_with('.') && descriptor_name(file).is_some())
}

/// The assets of one folder. What has no usable name is passed over: people keep other things in
/// folders, too.
fn folder(path: &Path) -> Result<Vec<(String, Place)>, AssetsError> {
    let unreadable = |error| AssetsError::Unreadable { path: path.to_owned(), error };
    let mut places = Vec::new();
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Follows links; a broken one is passed over.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| name::is_usable(name)) else { continue };
            if holds_asset(&path) {
                places.push((name.to_owned(), Place::Folder(path)));
            }
        } else if metadata.is_file() {
            if is_descriptor(&path) {
                places.extend(named_by_file(&path, Place::Descriptor));
            } else if is_media(&path)
                && let Some(stem) = asset_name(&path)
            {
                files.push((stem.to_owned(), path));
            }
        }
        if places.len() > MAX_ASSETS || files.len() > MAX_ASSETS * MAX_RENDITIONS {
            return Err(AssetsError::TooMany);
        }
    }
    files.sort();
    group(files, &mut places);
    if places.len() > MAX_ASSETS {
        return Err(AssetsError::TooMany);
    }
    places.sort_by(|a, b| (&a.0, a.1.path()).cmp(&(&b.0, b.1.path())));
    Ok(places)
}

/// Makes assets of the files (stem and path, in order) of a folder whose other assets are known:
/// of those that a descriptor stands for none, of siblings by the rule of [`siblings`] one, of each
/// other file one. Siblings whose common name something else has already stay on their own.
fn group(files: Vec<(String, PathBuf)>, places: &mut Vec<(String, Place)>) {
    let mut taken: BTreeSet<String> = places.iter().map(|(name, _)| name.clone()).collect();
    let described: BTreeSet<String> = places
        .iter()
        .filter(|(_, place)| matches!(place, Place::Descriptor(_)))
        .map(|(name, _)| name.clone())
        .collect();
    let mut ladders: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for (stem, path) in files {
        let base = siblings::base(&stem);
        if described.contains(&stem) || base.is_some_and(|base| described.contains(base)) {
            continue;
        }
        if let Some(base) = base {
            ladders.entry(base.to_owned()).or_default().push((stem, path));
        } else {
            taken.insert(stem.clone());
            places.push((stem, Place::File(path)));
        }
    }
    for (base, files) in ladders {
        let alike = files.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        if files.len() > 1 && !alike && name::is_usable(&base) && !taken.contains(&base) {
            let paths = files.into_iter().map(|(_, path)| path).collect();
            places.push((base, Place::Siblings(paths)));
        } else {
            places.extend(files.into_iter().map(|(stem, path)| (stem, Place::File(path))));
        }
    }
}

/// Whether a folder is an asset: it holds a mezzanine or a descriptor.
fn holds_asset(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else { return false };
    entries.any(|entry| {
        entry.is_ok_and(|entry| {
            let path = entry.path();
            (is_visible_media(&path) || is_descriptor(&path)) && path.is_file()
        })
    })
}

/// The mezzanines directly in a folder, by name.
fn media_files(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_visible_media(&path) && path.is_file() {
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

fn is_visible_media(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(name::is_usable) && is_media(path)
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
        let files = found["ladder"]
            .locate("ladder", &KeptKeys::default(), Timestamp::from_secs(1))
            .unwrap()
            .files;
        let ids: Vec<&str> = files.iter().map(|file| file.id.name.as_str()).collect();
        assert_eq!(ids, ["ladder/1.mp4", "ladder/2.mp4"]);
    }

    fn names(dir: &Path) -> Vec<String> {
        let found = places(&[Root::Folder(dir.to_owned())]).unwrap();
        found.keys().map(|name| (**name).to_owned()).collect()
    }

    #[test]
    fn siblings_are_one_ladder_and_loners_keep_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "movie_1080p.mp4",
            "movie_720p.mov",
            "movie-480p.mp4",
            "short_720p.mp4",
            "has_720p.mp4",
            "has_480p.mp4",
            "has.mp4",
            "twin_720p.mp4",
            "twin_480p.mp4",
            "twin/a.mp4",
        ] {
            touch(&dir.path().join(file));
        }
        assert_eq!(
            names(dir.path()),
            [
                "has",
                "has_480p",
                "has_720p",
                "movie",
                "short_720p",
                "twin",
                "twin_480p",
                "twin_720p"
            ]
        );
        let found = places(&[Root::Folder(dir.path().to_owned())]).unwrap();
        let files = found["movie"]
            .locate("movie", &KeptKeys::default(), Timestamp::from_secs(1))
            .unwrap()
            .files;
        let ids: Vec<&str> = files.iter().map(|file| file.id.name.as_str()).collect();
        assert_eq!(ids, ["movie-480p.mp4", "movie_1080p.mp4", "movie_720p.mov"]);
        // Files that are named one by one are assets one by one.
        let each = ["movie_1080p.mp4", "movie_720p.mov"].map(|file| dir.path().join(file));
        let roots = each.map(|path| Root::of(path).unwrap());
        let each: Vec<_> = places(&roots).unwrap().into_keys().collect();
        assert_eq!(each, ["movie_1080p".into(), "movie_720p".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn a_descriptor_stands_for_the_files_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["movie_1080p.mp4", "movie.mp4", "movie_720p.mp4", "other.mp4", "alone/x.txt"] {
            touch(&dir.path().join(file));
        }
        let text = r#"{"headwater": 1, "renditions": [{"file": "movie_720p.mp4"}]}"#;
        fs::write(dir.path().join("movie.headwater.json"), text).unwrap();
        assert_eq!(names(dir.path()), ["movie", "other"]);
        let found = places(&[Root::Folder(dir.path().to_owned())]).unwrap();
        let contents =
            found["movie"].locate("movie", &KeptKeys::default(), Timestamp::from_secs(1)).unwrap();
        assert_eq!(contents.files.len(), 1);
        assert_eq!(contents.files[0].id.name, "movie_720p.mp4");
        assert!(contents.descriptor.is_some());

        // In a folder of its own it needs no mezzanine beside it, and takes the folder's name.
        let deep = r#"{"headwater": 1, "renditions": [{"file": "deep/a.mp4"}]}"#;
        fs::write(dir.path().join("alone/any.headwater.json"), deep).unwrap();
        touch(&dir.path().join("alone/deep/a.mp4"));
        assert_eq!(names(dir.path()), ["alone", "movie", "other"]);
        let found = places(&[Root::Folder(dir.path().to_owned())]).unwrap();
        let files = found["alone"]
            .locate("alone", &KeptKeys::default(), Timestamp::from_secs(1))
            .unwrap()
            .files;
        assert_eq!(files[0].id.name, "alone/deep/a.mp4");
        fs::write(dir.path().join("alone/b.headwater.json"), deep).unwrap();
        let error = found["alone"]
            .locate("alone", &KeptKeys::default(), Timestamp::from_secs(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the folder holds another descriptor"), "{error}");
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

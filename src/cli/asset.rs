//! From paths on the command line to assets, by the rules of docs/descriptor.md.

use std::path::{Path, PathBuf};

use headwater::packager::assets::{Assets, asset_name};
use headwater::packager::source::AnySource;
use headwater::packager::{FileSource, Packager};

use super::Error;

/// A packager of what was named, and what of its assets is meant.
pub(super) struct Named {
    pub(super) packager: Packager,
    pub(super) names: Vec<String>,
}

impl Named {
    /// The one asset at a path: a file; a descriptor; a folder, whose files are its renditions; or
    /// the name of an asset within a folder, such as `films/movie` for `films/movie_720p.mp4` and
    /// `films/movie_1080p.mp4`.
    pub(super) fn one(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            let name = asset_name(path).ok_or("its name cannot stand in a URL")?;
            return Ok(Self::of(Assets::from_files([path])?, vec![name.to_owned()]));
        }
        // The folder by its real name, also where it is called `.`.
        let path = if path.is_dir() { path.canonicalize()? } else { path.to_owned() };
        let missing = || format!("there is no file, folder or asset {}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(missing().into());
        }
        Ok(Self::of(Assets::from_dir(folder)?, vec![name.to_owned()]))
    }

    /// Everything at a path: of a folder all assets in it.
    pub(super) async fn all(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            return Self::one(path);
        }
        let packager = Packager::builder(Assets::from_dir(path)?).build();
        let names: Vec<String> =
            packager.names().await.iter().map(|name| (**name).to_owned()).collect();
        if names.is_empty() {
            return Err("the folder holds no video".into());
        }
        Ok(Self { packager, names })
    }

    /// Several files as the renditions of one asset, called after the first.
    pub(super) fn renditions(files: &[PathBuf]) -> Result<Self, Error> {
        let mut sources = Vec::new();
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let source = FileSource::open(file, name.unwrap_or_default())
                .map_err(|error| format!("{}: {error}", file.display()))?;
            sources.push(AnySource::new(source));
        }
        let first = files.first().and_then(|file| asset_name(file)).unwrap_or("asset").to_owned();
        Ok(Self::of(Assets::from_sources([(first.clone(), sources)])?, vec![first]))
    }

    fn of(assets: Assets, names: Vec<String>) -> Self {
        Self { packager: Packager::builder(assets).build(), names }
    }
}

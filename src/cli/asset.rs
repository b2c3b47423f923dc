//! From paths on the command line to assets, by the rules of docs/descriptor.md.

use std::path::{Path, PathBuf};

use headwater::packager::assets::{Assets, asset_name};
use headwater::packager::source::AnySource;
use headwater::packager::{FileSource, Packager};

use super::Error;

/// Where what scans find is kept.
#[derive(clap::Args)]
pub(super) struct State {
    /// Keep here what is found by looking through a fragmented file that has no index, and go on from
    /// it the next time; made where it is missing, and may be emptied at any time [default: nothing
    /// is kept]
    #[arg(long = "state", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl State {
    fn packager(&self, assets: Assets) -> Packager {
        let builder = Packager::builder(assets);
        match &self.folder {
            Some(folder) => builder.state_folder(folder),
            None => builder,
        }
        .build()
    }
}

/// A packager of what was named, and what of its assets is meant.
pub(super) struct Named {
    pub(super) packager: Packager,
    pub(super) names: Vec<String>,
}

impl Named {
    /// The one asset at a path: a file; a descriptor; a folder, whose files are its renditions; or
    /// the name of an asset within a folder, such as `films/movie` for `films/movie_720p.mp4` and
    /// `films/movie_1080p.mp4`.
    pub(super) fn one(path: &Path, state: &State) -> Result<Self, Error> {
        if path.is_file() {
            let name = asset_name(path).ok_or("its name cannot stand in a URL")?;
            return Ok(Self::of(Assets::from_files([path])?, state, vec![name.to_owned()]));
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
        Ok(Self::of(Assets::from_dir(folder)?, state, vec![name.to_owned()]))
    }

    /// Everything at a path: of a folder all assets in it.
    pub(super) async fn all(path: &Path, state: &State) -> Result<Self, Error> {
        if !path.is_dir() {
            return Self::one(path, state);
        }
        let packager = state.packager(Assets::from_dir(path)?);
        let names: Vec<String> =
            packager.names().await.iter().map(|name| (**name).to_owned()).collect();
        if names.is_empty() {
            return Err("the folder holds no video".into());
        }
        Ok(Self { packager, names })
    }

    /// Several files as the renditions of one asset, called after the first.
    pub(super) fn renditions(files: &[PathBuf], state: &State) -> Result<Self, Error> {
        let mut sources = Vec::new();
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let source = FileSource::open(file, name.unwrap_or_default())
                .map_err(|error| format!("{}: {error}", file.display()))?;
            sources.push(AnySource::new(source));
        }
        let first = files.first().and_then(|file| asset_name(file)).unwrap_or("asset").to_owned();
        let assets = Assets::from_sources([(first.clone(), sources)])?;
        Ok(Self::of(assets, state, vec![first]))
    }

    fn of(assets: Assets, state: &State, names: Vec<String>) -> Self {
        Self { packager: state.packager(assets), names }
    }
}

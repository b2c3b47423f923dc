//! A whole asset as files: the bytes that the service answers, for any server of files.
//!
//! Each file is asked of the packager as a client would ask, so it cannot differ. It appears whole
//! or not at all, by a rename; manifests come last, so that none names what is not there yet.

use std::io;
use std::path::{Path, PathBuf};

use headwater_net::{Body, Problem};
use http::{Method, Request, Response, header};
use http_body::Body as _;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::Packager;
use crate::assets::encode_name;
use crate::download::Download;
use crate::forms::Forms;
use crate::presentation::{Absent, Presentation};
use crate::resource::Resource;
use crate::selection::Selection;

/// How an asset is exported.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// What to do with a folder that holds something.
    pub existing: Existing,
    /// The query that manifests are asked with, such as `container=muxed`; without question mark.
    pub query: String,
    /// Which forms are written; by default segments by number.
    pub forms: Forms,
    /// Whether `download.mp4` is written, too, with its best picture and its default sound.
    pub download: bool,
}

/// What to do with a folder that holds something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// Nothing: it is an error.
    #[default]
    Refuse,
    /// Write over what has the same name, and leave the rest.
    Overwrite,
    /// Keep media files that are complete: their names hold the version, so they are the same.
    /// Manifests are written again.
    Resume,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Files that are there.
    pub files: u64,
    /// Files that will be there.
    pub all_files: u64,
    /// Bytes of the files that are there, and of the one that is being written.
    pub bytes: u64,
    /// Bytes of the one that is being written, so far and in the end; 0 and 0 between files.
    pub current: (u64, u64),
    /// Files that were there before.
    pub kept: u64,
}

/// Why an export ended early. For the operator: the messages hold paths.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The packager refused.
    #[error("{path}: {problem}")]
    Refused {
        /// What was asked for, below the asset's folder.
        path: String,
        /// The answer.
        problem: Problem,
    },
    /// The folder holds something.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A body ended early: its source could not be read on.
    #[error("{path} broke off: {cause}")]
    Broken {
        /// What was asked for, below the asset's folder.
        path: String,
        /// Why, as far as it is known.
        cause: String,
    },
}

impl Packager {
    /// Writes an asset below `dir`, which is made where it is missing: the manifests of
    /// [`ExportOptions::forms`] and all that they name, byte for byte as the service answers. `watch`
    /// is told after each piece.
    ///
    /// Where the future is dropped, or fails, what is written stays: whole files, and at most one
    /// that ends in `.part`.
    ///
    /// # Errors
    /// [`ExportError`] for the first thing that fails. A form that the asset does not have is one:
    /// an asset with encrypted segments has no files, for instance.
    pub async fn export(
        &self,
        name: &str,
        dir: &Path,
        options: &ExportOptions,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Progress, ExportError> {
        let refused = |path: &str, problem| ExportError::Refused { path: path.to_owned(), problem };
        let presentation =
            self.presentation(name).await.map_err(|problem| refused(name, problem))?;
        let presentation = Selection::parse(&options.query)
            .map_err(super::Fault::from)
            .and_then(|selection| Ok(presentation.select(selection)?))
            .map_err(|fault| refused(name, fault.into()))?;
        prepare(dir, options.existing).await?;
        let mut export = Export {
            packager: self,
            folder: format!("/{}", encode_name(name)),
            dir,
            options,
            progress: Progress::default(),
            watch,
        };
        export.run(&presentation).await?;
        Ok(export.progress)
    }
}

/// Makes the folder, or looks at what it holds.
async fn prepare(dir: &Path, existing: Existing) -> Result<(), ExportError> {
    let unwritable = |error| ExportError::Unwritable { path: dir.to_owned(), error };
    fs::create_dir_all(dir).await.map_err(unwritable)?;
    if existing == Existing::Refuse {
        let mut entries = fs::read_dir(dir).await.map_err(unwritable)?;
        if entries.next_entry().await.map_err(unwritable)?.is_some() {
            return Err(ExportError::NotEmpty(dir.to_owned()));
        }
    }
    Ok(())
}

struct Export<'a> {
    packager: &'a Packager,
    /// Of the asset, in URLs.
    folder: String,
    dir: &'a Path,
    options: &'a ExportOptions,
    progress: Progress,
    watch: &'a mut (dyn FnMut(Progress) + Send),
}

impl Export<'_> {
    async fn run(&mut self, presentation: &Presentation) -> Result<(), ExportError> {
        let ExportOptions { forms, download, .. } = *self.options;
        let (media, manifests): (Vec<_>, Vec<_>) =
            presentation.resources_in(forms).partition(|resource| resource.is_immutable());
        for (wanted, of_form) in [
            (forms.segments, [Resource::Multivariant, Resource::Mpd]),
            (forms.times, [Resource::TimeMpd; 2]),
            (forms.files, [Resource::SingleMultivariant, Resource::OnDemandMpd]),
        ] {
            if wanted && !of_form.iter().any(|manifest| manifests.contains(manifest)) {
                let path = presentation.path(of_form[0]);
                return Err(ExportError::Refused {
                    path,
                    problem: super::Fault::from(Absent::NotFound).into(),
                });
            }
        }
        self.progress.all_files = (media.len() + manifests.len()) as u64 + u64::from(download);
        for resource in media {
            let path = presentation.path(resource);
            if self.options.existing == Existing::Resume && self.is_complete(&path).await? {
                self.progress.files += 1;
                self.progress.kept += 1;
                (self.watch)(self.progress);
                continue;
            }
            self.file(&path, "").await?;
        }
        if download {
            self.file(Download::PATH, "").await?;
        }
        for resource in manifests {
            self.file(&presentation.path(resource), &self.options.query).await?;
        }
        Ok(())
    }

    /// Whether a media file is there in its full length.
    async fn is_complete(&mut self, path: &str) -> Result<bool, ExportError> {
        let Ok(metadata) = fs::metadata(self.dir.join(path)).await else { return Ok(false) };
        let answer = self.ask(Method::HEAD, path, "").await?;
        let complete = metadata.is_file() && content_length(&answer) == Some(metadata.len());
        if complete {
            self.progress.bytes += metadata.len();
        }
        Ok(complete)
    }

    /// Writes one file.
    async fn file(&mut self, path: &str, query: &str) -> Result<(), ExportError> {
        let answer = self.ask(Method::GET, path, query).await?;
        let expected = content_length(&answer);
        let target = self.dir.join(path);
        let part = self.dir.join(format!("{path}.part"));
        let unwritable = |error| ExportError::Unwritable { path: target.clone(), error };
        let broken = |cause: String| ExportError::Broken { path: path.to_owned(), cause };
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).await.map_err(unwritable)?;
        }
        let mut file = fs::File::create(&part).await.map_err(unwritable)?;
        let mut body = Box::pin(answer.into_body());
        let mut written = 0;
        let whole = expected.unwrap_or(0);
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| broken(error.to_string()))?;
            let Ok(bytes) = frame.into_data() else { continue };
            file.write_all(&bytes).await.map_err(unwritable)?;
            written += bytes.len() as u64;
            self.progress.bytes += bytes.len() as u64;
            self.progress.current = (written, whole);
            (self.watch)(self.progress);
        }
        if expected != Some(written) {
            return Err(broken(format!("{written} bytes came")));
        }
        file.flush().await.map_err(unwritable)?;
        drop(file);
        fs::rename(&part, &target).await.map_err(unwritable)?;
        self.progress.files += 1;
        self.progress.current = (0, 0);
        (self.watch)(self.progress);
        Ok(())
    }

    /// The answer to a request for a path below the asset's folder, which must be 200.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
    ) -> Result<Response<Body>, ExportError> {
        let refused = |problem| ExportError::Refused { path: path.to_owned(), problem };
        let mark = if query.is_empty() { "" } else { "?" };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}{mark}{query}", self.folder))
            .body(())
            .map_err(|_| refused(super::Fault::UnknownPath.into()))?;
        let (parts, ()) = request.into_parts();
        match self.packager.route(&parts).await {
            Ok(answer) => Ok(answer.finish(&parts.method, self.packager.metrics())),
            Err(fault) => Err(refused(fault.into())),
        }
    }
}

fn content_length(answer: &Response<Body>) -> Option<u64> {
    answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

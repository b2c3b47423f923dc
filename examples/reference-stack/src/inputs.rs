//! What there is to play: the inputs of the command line, or the demo video.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use headwater_packager::assets::{Assets, EXTENSIONS, asset_name};
use headwater_packager::{NoteKind, Packager, Report, Track};

use crate::{Error, demo_video};

/// The packager of the inputs, and the names of what can be played.
pub struct Inputs {
    /// Serves every input, also those that can only answer with what is wrong with them.
    pub packager: Packager,
    /// The assets that can be played, in order.
    pub playable: Vec<Arc<str>>,
}

impl Inputs {
    /// Opens the inputs; the demo video, made first, where there are none.
    ///
    /// Every input that was named is indexed, so that a file that cannot be played is told of now
    /// and not by a player later. In a folder, what cannot be played is told of and left to answer
    /// for itself, as long as something can be.
    ///
    /// # Errors
    /// [`Error::Input`] for the first input that cannot be played.
    pub async fn open(
        inputs: &[PathBuf],
        state: &Path,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let inputs = if inputs.is_empty() {
            let (state, stop) = (state.to_owned(), Arc::clone(stop));
            let videos = blocking(move || demo_video::make(&state, &stop)).await?;
            vec![videos]
        } else {
            inputs.to_vec()
        };
        let packager = Packager::builder(assets(&inputs)?).build();
        let mut playable = Vec::new();
        for input in &inputs {
            if input.is_dir() {
                check_folder(input, &packager, &mut playable).await?;
            } else {
                playable.push(check_file(input, &packager).await?);
            }
        }
        playable.sort();
        playable.dedup();
        Ok(Self { packager, playable })
    }
}

fn assets(inputs: &[PathBuf]) -> Result<Assets, Error> {
    for path in inputs {
        if let Err(error) = std::fs::metadata(path) {
            return Err(refuse(
                path,
                match error.kind() {
                    std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
                    _ => error.to_string(),
                },
            ));
        }
    }
    Assets::from_files(inputs.iter().cloned()).map_err(|error| Error::Usage(error.to_string()))
}

/// Looks at a file that was named: it must play as a person expects, with its picture.
async fn check_file(path: &Path, packager: &Packager) -> Result<Arc<str>, Error> {
    let name = asset_name(path)
        .ok_or_else(|| refuse(path, "its name cannot stand in a URL".to_owned()))?;
    let presentation =
        packager.presentation(name).await.map_err(|problem| refuse(path, problem.to_string()))?;
    let media = presentation.media();
    let report = media.report();
    if report.lacks_picture() && !media.tracks().iter().any(Track::is_video) {
        return Err(refuse(path, format!("its picture cannot be played: {report}")));
    }
    tell(name, report);
    Ok(name.into())
}

/// Looks at all that a folder holds.
async fn check_folder(
    path: &Path,
    packager: &Packager,
    playable: &mut Vec<Arc<str>>,
) -> Result<(), Error> {
    let within = Assets::from_dir(path).map_err(|error| Error::Usage(error.to_string()))?;
    let names = within.names(headwater_net::Clock::system().now()).await;
    if names.is_empty() {
        let looked_for = EXTENSIONS.join(", ");
        return Err(refuse(path, format!("the folder holds no video (looked for {looked_for})")));
    }
    let before = playable.len();
    let mut last = None;
    for name in names {
        match packager.presentation(&name).await {
            Ok(presentation) => {
                tell(&name, presentation.media().report());
                playable.push(name);
            }
            Err(problem) => {
                crate::say(&format!("{name} cannot be played: {problem}"));
                last = Some(problem);
            }
        }
    }
    match last {
        Some(problem) if playable.len() == before => {
            Err(refuse(path, format!("nothing in it can be played: {problem}")))
        }
        _ => Ok(()),
    }
}

/// What was left out of an asset or done differently. What only may be of interest is in its report.
fn tell(name: &str, report: &Report) {
    for note in report.notes().iter().filter(|note| note.kind != NoteKind::Info) {
        crate::say(&format!("{name}: {note}"));
    }
}

fn refuse(path: &Path, why: String) -> Error {
    Error::Input { path: path.to_owned(), why }
}

/// Runs blocking work off the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Threads(std::io::Error::other(error))),
    }
}

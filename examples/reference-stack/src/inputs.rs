//! What there is to play: the inputs of the command line, or the demo video.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use headwater_packager::assets::{Assets, EXTENSIONS};
use headwater_packager::service::Packager;

use crate::{Error, demo_video};

/// The packager of the inputs; of the demo video, made first, where there are none.
///
/// Every input that was named is opened and indexed, so that a file that cannot be played is told
/// of now and not by a player later. In a folder, what cannot be played is told of and left to
/// answer for itself, as long as something can be.
///
/// # Errors
/// [`Error::Input`] for the first input that cannot be played.
pub async fn packager(
    inputs: &[PathBuf],
    state: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<Packager, Error> {
    let inputs = if inputs.is_empty() {
        let (state, stop) = (state.to_owned(), Arc::clone(stop));
        let videos = blocking(move || demo_video::make(&state, &stop)).await?;
        vec![videos]
    } else {
        inputs.to_vec()
    };
    let packager = Packager::builder(open(&inputs)?).build();
    for input in &inputs {
        check(input, &packager).await?;
    }
    Ok(packager)
}

fn open(inputs: &[PathBuf]) -> Result<Assets, Error> {
    for path in inputs {
        if let Err(error) = std::fs::metadata(path) {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
                _ => error.to_string(),
            };
            return Err(Error::Input { path: path.clone(), why });
        }
    }
    Assets::from_files(inputs.iter().cloned()).map_err(|error| Error::Usage(error.to_string()))
}

/// Opens what one input named.
async fn check(input: &Path, packager: &Packager) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Input { path: input.to_owned(), why });
    if !input.is_dir() {
        let Some(name) = input.file_stem().and_then(|stem| stem.to_str()) else {
            return refuse("its name is not valid UTF-8".to_owned());
        };
        return match packager.presentation(name).await {
            Ok(_) => Ok(()),
            Err(problem) => refuse(problem.to_string()),
        };
    }
    let within = Assets::from_dir(input).map_err(|error| Error::Usage(error.to_string()))?;
    let names = within.names(headwater_net::Clock::system().now()).await;
    if names.is_empty() {
        return refuse(format!("the folder holds no video (looked for {})", EXTENSIONS.join(", ")));
    }
    let mut last = None;
    let mut playable = false;
    for name in &names {
        match packager.presentation(name).await {
            Ok(_) => playable = true,
            Err(problem) => {
                crate::say(&format!("{name} cannot be played: {problem}"));
                last = Some(problem);
            }
        }
    }
    match last {
        Some(problem) if !playable => refuse(format!("nothing in it can be played: {problem}")),
        _ => Ok(()),
    }
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

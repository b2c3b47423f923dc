//! `headwater manual FOLDER`: the manual pages of the command, and what shells complete it by, made of
//! the same words as `--help`. For packages: people get both installed, and do not call it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Error};

/// Where completions go that each of these shells finds by itself.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// Which folder.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where man/ and completions/ go; made where it is missing
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let made = |name: &str| -> Result<PathBuf, Error> {
        let folder = args.folder.join(name);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        Ok(folder)
    };
    let pages = made("man")?;
    clap_mangen::generate_to(Cli::command(), &pages).map_err(|error| failed(&pages, &error))?;
    let completions = made("completions")?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut Cli::command(), "headwater", &completions)
            .map_err(|error| failed(&completions, &error))?;
    }
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    format!("cannot write to {}: {error}", path.display()).into()
}

//! `headwater edge --config FILE`: an edge without a line of Rust; with `--check`, what is wrong with
//! its configuration and nothing else.
//!
//! ```text
//! Server ─▶ Entrance ─▶ Edge (layers, cache with the sites' policy) ─▶ Router ─▶ upstream groups
//! ```
//!
//! The entrance gives each request the sites of the configuration that is in force when it comes;
//! a reload puts new ones there, and requests under way end with theirs.

mod basis;
mod certificates;
mod describe;
mod entrance;
mod files;
pub(super) mod log;
mod media;
mod pair;
mod reload;
mod route_policy;
mod router;
mod serve;
mod settings;
mod shield;
mod shields;
mod sites;
mod standing;
mod store;
mod tokens;
pub(super) mod top;
mod trace;
mod upstreams;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use headwater::proto::config::{Edge as Config, Places, VARIABLES, Wrongs};

use super::Error;

/// An edge from a configuration file.
#[derive(clap::Args)]
#[command(after_help = "\
Variables of the environment override keys: HEADWATER__SERVER__LISTEN is listen of [server],
HEADWATER__UPSTREAM__MEDIA__ORIGINS is origins of the [[upstream]] whose name is media.

SIGHUP reads the file again, and the files that it names, all of it or nothing. SIGUSR1 opens the
access log and the file of events again. SIGUSR2 starts the program anew, and hands over to it without
a lost request. SIGTERM ends the process when its requests are done, or at the deadline (drain of [server]).

docs/configuration.md tells of every key.")]
pub(super) struct Args {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Start nothing: print the configuration with its defaults, or what is wrong with it and with the
    /// files that it names
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let read = load(&args.config)?;
    let looked =
        read.and_then(|(config, places)| files::look(&config, &places).map(|()| (config, places)));
    let (config, places) = match looked {
        Ok(read) => read,
        Err(wrongs) => {
            super::tell(&wrongs.to_string());
            return Ok(ExitCode::FAILURE);
        }
    };
    if args.check {
        print!("{}", config.resolved().to_toml());
        return Ok(ExitCode::SUCCESS);
    }
    let served = super::runtime()?.block_on(serve::serve(&args.config, config));
    served.map_err(|error| files::placed(error, &places))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration, and what variables override; the inner error is all that is wrong with
/// it.
fn load(path: &Path) -> Result<Result<(Config, Places), Wrongs>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the configuration {} cannot be read: {error}", path.display()))?;
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLES)) else { continue };
        let value = value.into_string().map_err(|_| format!("the variable {name} is no text"))?;
        variables.push((name.to_owned(), value));
    }
    Ok(Config::parse_placed(&path.display().to_string(), &text, variables))
}

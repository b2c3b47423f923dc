//! `headwater-conform`: checks a URL or a file, prints a table; `cargo xtask conform` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its results")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use headwater_conform::{HttpOptions, Options, Sampling, Web, check, rules};

/// Checks HLS and DASH presentations against rules written from RFC 8216bis, Apple's authoring
/// specification, ISO/IEC 23009-1, CMAF, ISOBMFF and MPEG-2 systems.
///
/// Prints a table of what is broken: rule, section, level, and the places with what is stated and
/// what was measured. Exits with 1 where a MUST rule is broken, with 2 where there is nothing to
/// check. docs/conform.md lists the rules.
#[derive(Parser)]
#[command(version, name = "headwater-conform", bin_name = "cargo xtask conform", after_help = EXAMPLES)]
struct Cli {
    /// Manifests: http, https and file URLs, or paths of files
    #[arg(required_unless_present = "rules", value_name = "URL")]
    places: Vec<String>,
    /// How many segments of each rendition to fetch: a number, or `all`
    #[arg(long, value_name = "N", default_value = "12", value_parser = sampling)]
    segments: Sampling,
    /// Only this rule; may be given several times
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// Let broken SHOULD rules fail too
    #[arg(long)]
    strict: bool,
    /// List the rules that passed and those that do not apply as well
    #[arg(long)]
    all: bool,
    /// Write what was found here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take any certificate
    #[arg(long)]
    insecure: bool,
    /// Trust the certificates in this PEM file besides the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The longest that one resource may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    timeout: u64,
    /// Print the table of rules as Markdown, and do nothing else
    #[arg(long)]
    rules: bool,
}

const EXAMPLES: &str = "Examples:
  cargo xtask conform https://cdn.example/movie/main.m3u8
  cargo xtask conform --segments all --json report.json https://localhost:8443/movie/manifest.mpd --insecure
  cargo xtask conform --only hls-target-duration --only hls-extinf ./out/main.m3u8";

fn sampling(text: &str) -> Result<Sampling, String> {
    if text == "all" {
        return Ok(Sampling::All);
    }
    match text.parse() {
        Ok(count) if count > 0 => Ok(Sampling::Some(count)),
        _ => Err("a number from 1, or `all`".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.rules {
        print!("{}", rules::markdown());
        return ExitCode::SUCCESS;
    }
    match run(&cli) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether something failed.
fn run(cli: &Cli) -> Result<bool, Box<dyn std::error::Error>> {
    let authorities = cli.ca.as_ref().map(std::fs::read).transpose()?;
    let timeout = Duration::from_secs(cli.timeout);
    let mut web = Web::new(&HttpOptions { timeout, insecure: cli.insecure, authorities })?;
    let options = Options { sampling: cli.segments, only: cli.only.clone() };
    let mut failed = false;
    let mut reports = Vec::new();
    for place in &cli.places {
        let report = check(place, &mut web, &options)?;
        println!("{}", report.table(cli.all));
        failed |= report.failed(cli.strict);
        reports.push(report.json());
    }
    if let Some(path) = &cli.json {
        let json = match reports.as_slice() {
            [one] => format!("{one:#}\n"),
            several => format!("{:#}\n", serde_json::Value::from(several.to_vec())),
        };
        std::fs::write(path, json)?;
    }
    Ok(failed)
}

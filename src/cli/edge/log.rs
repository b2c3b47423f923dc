//! `headwater log`: the access log of a running edge as it is written, through a filter.

use std::io::{ErrorKind, Write as _};

use super::super::Error;
use super::watch::{Next, Whom, lost};

/// The access log of a running edge, live.
#[derive(clap::Args)]
#[command(after_help = "\
Each line is JSON, whatever the edge's own log is like: headwater log --config edge.toml | jq .path

Who reads slower than lines come loses some, and is told on standard error how many.")]
pub(crate) struct Args {
    #[command(flatten)]
    whom: Whom,

    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let mut lines = args.whom.lines()?;
    let mut out = std::io::stdout().lock();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        match lines.next()? {
            Next::Nothing => {}
            Next::End => return Err("the edge has ended its log".into()),
            Next::Line(line) => {
                if let Some(lost) = lost(&line) {
                    eprintln!("{lost} lines were lost: this reader is too slow");
                    continue;
                }
                left -= 1;
                match writeln!(out, "{line}") {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    written => written?,
                }
            }
        }
    }
    Ok(())
}

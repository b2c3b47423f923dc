//! The demo as a newcomer meets it: `cargo xtask demo` is started, answers, ends; and starts again
//! without making anything again.
//!
//! The first start makes the demo video and, on a machine that has not built it, the stack in
//! release. The second is to take under five seconds, and how long it took is said; but a busy
//! machine misses that without a fault of ours, so what fails is its cause: a file made anew. What
//! is asked of the demo is asked over plain HTTP by hand: this program has no client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cli::{Failure, Outcome};
use crate::places::Places;
use crate::running::{DRAIN, Running};
use crate::{process, ui};

/// How long the first start may take: it builds.
const FIRST_START: Duration = Duration::from_secs(45 * 60);

/// What a second start is to take, on a machine with nothing else to do.
const SECOND_START: Duration = Duration::from_secs(5);

/// What a second start may take anywhere: it makes nothing.
const SECOND_START_LIMIT: Duration = Duration::from_secs(2 * 60);

/// Starts the demo twice, each time with what was left by the time before.
pub(crate) fn run(places: &Places) -> Outcome {
    let state = places.target.join("tmp/rehearsal");
    if state.exists() {
        std::fs::remove_dir_all(&state).map_err(|error| Failure::file("clear", &state, &error))?;
    }
    let first = start(places, &state, FIRST_START)?;
    check(&first)?;
    ui::line(&format!("the first start took {}", ui::elapsed(first.took)));
    first.end("-INT")?;
    let made = made(places, &state)?;

    let second = start(places, &state, SECOND_START_LIMIT)?;
    check(&second)?;
    let aim = if second.took < SECOND_START { "under" } else { "NOT under" };
    ui::line(&format!(
        "the second start took {}, {aim} the {} it is to take",
        ui::elapsed(second.took),
        ui::elapsed(SECOND_START)
    ));
    second.end("-TERM")?;
    if let Some(again) = self::made(places, &state)?.into_iter().find(|file| !made.contains(file)) {
        return Err(Failure::new(format!(
            "a second start of the demo made {} again",
            again.0.display()
        )));
    }
    std::fs::remove_dir_all(&state).map_err(|error| Failure::file("remove", &state, &error))
}

/// What is dear to make, and when it was made: the program, the pages, the demo's videos.
fn made(places: &Places, state: &Path) -> Outcome<Vec<(PathBuf, SystemTime)>> {
    let mut files = vec![places.target.join("release/examples/reference-stack")];
    for folder in [places.pages(), state.join("videos")] {
        let entries =
            std::fs::read_dir(&folder).map_err(|error| Failure::file("list", &folder, &error))?;
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files
        .into_iter()
        .map(|file| match file.metadata().and_then(|known| known.modified()) {
            Ok(modified) => Ok((file, modified)),
            Err(error) => Err(Failure::file("look at", &file, &error)),
        })
        .collect()
}

fn start(places: &Places, state: &Path, patience: Duration) -> Outcome<Running> {
    let mut command = process::cargo(places);
    command.args(["xtask", "demo", "--port", "0", "--state"]).arg(state);
    Running::start("the demo", &mut command, state.join("ready.json"), patience)
}

/// The page, the playlist and the metrics are there.
fn check(demo: &Running) -> Outcome {
    let plain = demo.text("http")?;
    let page = get(plain, "/")?;
    expect(&page, "HTTP/1.1 200 ", "the page")?;
    expect(&page, "<script", "the built page")?;
    let hls = demo.ready()["assets"][0]["hls"].as_str().unwrap_or_default();
    let path = hls.strip_prefix(demo.text("base")?).unwrap_or_default();
    expect(&get(plain, path)?, "#EXT-X-STREAM-INF", "the playlist")?;
    let metrics = demo.text("metrics")?;
    let base = metrics.strip_suffix("/metrics").unwrap_or(metrics);
    expect(&get(base, "/metrics")?, "headwater_", "the metrics")
}

/// The answer to a plain HTTP/1.1 request, headers and body.
pub(crate) fn get(base: &str, path: &str) -> Outcome<String> {
    let failed = |error| Failure::new(format!("cannot fetch {base}{path}: {error}"));
    let authority = base.strip_prefix("http://").unwrap_or(base);
    let mut connection = TcpStream::connect(authority).map_err(failed)?;
    connection.set_read_timeout(Some(DRAIN)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn expect(answer: &str, wanted: &str, what: &str) -> Outcome {
    if answer.contains(wanted) {
        return Ok(());
    }
    let head = answer.lines().next().unwrap_or_default();
    Err(Failure::new(format!("{what} of the demo is not as it should be: {head}")))
}

//! `headwater-bench packager`: segments made on request beside nginx sending the same bytes by
//! `sendfile`, in alternating rounds.
//!
//! Each server has one worker on one core; the client keeps to the other. Both answer the same
//! bytes: nginx from files that the packager's answers were written to. A ratio is that of one
//! round's two figures, and the table has the median over the rounds. Warm, everything is in the
//! page cache; cold, the page cache forgets the file before each request, and requests come one at
//! a time.

mod cases;
mod client;
mod film;
mod report;
mod serve;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::{Protocol, Result};
use crate::peer::{self, Server};
use crate::stats::Spread;
use cases::{Case, Kind, Peer};
use client::{Client, Target};
use report::{Row, Temperature};
use serve::{COUNTERS, Counters};

pub use serve::{ServeArgs, serve};

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the peer and the film are made and kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// How often each server is measured in each case
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that one measurement lasts
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Connections kept open
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Only the case of this name; may be repeated
    #[arg(long, value_enum)]
    case: Vec<Kind>,
    /// A segment of another packager, or a media playlist of HLS for its segments, by plain HTTP on
    /// this machine, to measure beside nginx sending the same bytes; may be repeated
    #[arg(long, value_name = "URL")]
    peer: Vec<String>,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where a bar is missed
    #[arg(long)]
    check: bool,
}

/// Runs the bench.
///
/// # Errors
/// When a server cannot be started or gives a wrong answer, or with `--check` when a bar is missed.
pub fn run(args: &Args) -> Result<()> {
    if !(0.05..=600.0).contains(&args.seconds) {
        return Err("--seconds must lie between 0.05 and 600".into());
    }
    let nginx = peer::nginx_binary(&args.cache)?;
    let film = film::film(&args.cache)?;
    let dir = tempfile::tempdir()?;
    let ours =
        peer::own("serve", "headwater", dir.path(), &[OsStr::new("--film"), film.as_os_str()])?;
    let sealed = peer::own(
        "serve",
        "headwater-sealed",
        dir.path(),
        &[OsStr::new("--encrypt"), OsStr::new("--film"), film.as_os_str()],
    )?;
    let root = dir.path().join("files");
    let mut cases = cases::find(&args.case, &ours, &sealed, &film, &root)?;
    for (number, url) in args.peer.iter().enumerate() {
        cases.push(cases::of_peer(url, number + 1, &root)?);
    }
    let sendfile = peer::nginx_files(&nginx, dir.path(), &root)?;
    let ranges = dir.path().join("ranges.json");
    let bare: HashMap<_, _> = cases.iter().flat_map(|case| case.bare.clone()).collect();
    std::fs::write(&ranges, serde_json::to_vec(&bare)?)?;
    let bare = peer::own(
        "serve",
        "bare",
        dir.path(),
        &[OsStr::new("--film"), film.as_os_str(), OsStr::new("--ranges"), ranges.as_os_str()],
    )?;
    let bench = Bench { args, film, root, ours, sealed, sendfile, bare };

    let bar = ProgressBar::new(cases.len() as u64 * u64::from(args.rounds) * 2);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let mut rows = Vec::new();
    for case in &cases {
        bar.set_message(case.name().to_owned());
        rows.push(bench.warm(case, &bar)?);
        if case.kind != Kind::Peer {
            rows.push(bench.cold(case, &bar)?);
        }
    }
    bar.finish_and_clear();
    report::print(&rows, args.rounds, args.seconds, args.connections);
    if let Some(file) = &args.json {
        report::write(file, &rows, args.rounds, args.seconds, args.connections)?;
    }
    if args.check && !report::check(&rows) {
        return Err("a bar was missed".into());
    }
    Ok(())
}

/// The servers of one run.
struct Bench<'a> {
    args: &'a Args,
    film: PathBuf,
    root: PathBuf,
    ours: Server,
    /// Ours with a key.
    sealed: Server,
    sendfile: Server,
    bare: Server,
}

impl Bench<'_> {
    /// Rounds of load, everything in the page cache.
    fn warm(&self, case: &Case, bar: &ProgressBar) -> Result<Row> {
        let mut servers: Vec<Subject<'_>> =
            vec![self.subject(case)?, Subject::Ours(&self.sendfile)];
        if !case.bare.is_empty() {
            servers.push(Subject::Ours(&self.bare));
        }
        let paths = |server: usize| if server == 1 { &case.files } else { &case.targets };
        let connections = usize::from(self.args.connections);
        // Each brings into memory what it reads, in its own way: how pages came there decides what
        // reading them costs. The bare loop finds the film as the packager left it.
        self.forget(case)?;
        for (number, server) in servers.iter().enumerate() {
            let mut client = Client::connect(server.addr())?;
            for target in paths(number) {
                client.get(&target.path, false)?;
            }
        }
        for (number, server) in servers.iter().enumerate() {
            let short = Duration::from_millis(200);
            client::load(server.addr(), paths(number), connections, short)?;
        }
        let before = self.counters(case)?;
        let mut asked = 0;
        let mut spent: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
        for round in 0..self.args.rounds as usize {
            // Who goes first changes too.
            for turn in 0..servers.len() {
                let number = (turn + round) % servers.len();
                let server = &servers[number];
                let from = server.cpu_time()?;
                let time = Duration::from_secs_f64(self.args.seconds);
                let answers = client::load(server.addr(), paths(number), connections, time)?;
                let cpu = server.cpu_time()?.saturating_sub(from);
                spent[number].push(cpu.as_secs_f64() * 1e6 / answers.max(1) as f64);
                asked += if number == 0 { answers } else { 0 };
            }
            bar.inc(1);
        }
        let counted = self.counters(case)?.since(before, asked);
        let mut first = [Vec::new(), Vec::new()];
        for _ in 0..20 {
            for (number, server) in servers.iter().take(2).enumerate() {
                first[number].push(first_byte(server.addr(), paths(number))?);
            }
        }
        Row::new(case, Temperature::Warm, &spent, &first, counted)
    }

    /// One request at a time, each after the page cache has forgotten what it asks for.
    fn cold(&self, case: &Case, bar: &ProgressBar) -> Result<Row> {
        let servers = [self.packager(case), &self.sendfile];
        let before = self.counters(case)?;
        let mut spent: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
        let mut first = [Vec::new(), Vec::new()];
        let mut asked = 0;
        for round in 0..self.args.rounds as usize {
            for turn in 0..servers.len() {
                let number = (turn + round) % servers.len();
                let targets = if number == 1 { &case.files } else { &case.targets };
                let target = &targets[round % targets.len()];
                self.forget(case)?;
                let server = servers[number];
                let mut client = Client::connect(server.addr(Protocol::H1))?;
                let from = server.cpu_time()?;
                let answer = client.get(&target.path, false)?;
                if answer.status != 200 || answer.bytes != target.bytes {
                    return Err(format!("{}: {}", target.path, answer.status).into());
                }
                let cpu = server.cpu_time()?.saturating_sub(from);
                spent[number].push(cpu.as_secs_f64() * 1e6);
                first[number].push(answer.first_byte.as_secs_f64() * 1e6);
                asked += u64::from(number == 0);
            }
            bar.inc(1);
        }
        let counted = self.counters(case)?.since(before, asked);
        Row::new(case, Temperature::Cold, &spent, &first, counted)
    }

    /// Lets the page cache forget what a case reads.
    fn forget(&self, case: &Case) -> Result<()> {
        film::forget(&self.film)?;
        for file in &case.files {
            film::forget(&self.root.join(file.path.trim_start_matches('/')))?;
        }
        Ok(())
    }

    fn subject(&self, case: &Case) -> Result<Subject<'_>> {
        match &case.peer {
            None => Ok(Subject::Ours(self.packager(case))),
            Some(Peer { addr, .. }) => {
                let pids = crate::cpu::listeners(addr.port())?;
                if pids.is_empty() {
                    return Err("nobody on this machine listens where --peer points".into());
                }
                Ok(Subject::Peer(*addr, pids))
            }
        }
    }

    /// The packager that answers a case.
    fn packager(&self, case: &Case) -> &Server {
        if case.kind == Kind::TsAes128 { &self.sealed } else { &self.ours }
    }

    fn counters(&self, case: &Case) -> Result<Counters> {
        let answer =
            Client::connect(self.packager(case).addr(Protocol::H1))?.get(COUNTERS, true)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

/// Who is measured.
enum Subject<'a> {
    /// A server that this run started.
    Ours(&'a Server),
    /// One that was there: its address and processes.
    Peer(std::net::SocketAddr, Vec<u32>),
}

impl Subject<'_> {
    fn addr(&self) -> std::net::SocketAddr {
        match self {
            Self::Ours(server) => server.addr(Protocol::H1),
            Self::Peer(addr, _) => *addr,
        }
    }

    fn cpu_time(&self) -> Result<Duration> {
        match self {
            Self::Ours(server) => server.cpu_time(),
            Self::Peer(_, pids) => {
                let mut sum = Duration::ZERO;
                for pid in pids {
                    sum += crate::cpu::cpu_time(*pid)?;
                }
                Ok(sum)
            }
        }
    }
}

/// What the packager did per answer.
#[derive(Debug, Clone, Copy, Default)]
struct PerAnswer {
    reads: f64,
    bytes_read: f64,
    bytes_sent: f64,
    /// How often each byte was copied in user space.
    copies: f64,
}

impl Counters {
    fn since(self, before: Self, answers: u64) -> PerAnswer {
        let per = |now: u64, then: u64| now.saturating_sub(then) as f64 / answers.max(1) as f64;
        let sent = per(self.bytes_sent, before.bytes_sent);
        PerAnswer {
            reads: per(self.reads, before.reads),
            bytes_read: per(self.bytes_read, before.bytes_read),
            bytes_sent: sent,
            copies: per(self.bytes_copied, before.bytes_copied) / sent.max(1.0),
        }
    }
}

/// Microseconds to the first byte of one answer on a fresh connection that has answered before.
fn first_byte(addr: std::net::SocketAddr, targets: &[Target]) -> Result<f64> {
    let mut client = Client::connect(addr)?;
    let mut micros = 0.0;
    for target in targets.iter().take(2) {
        micros = client.get(&target.path, false)?.first_byte.as_secs_f64() * 1e6;
    }
    Ok(micros)
}

/// The median of some figures.
fn median(figures: &[f64]) -> f64 {
    Spread::of(figures.iter().copied()).map_or(0.0, |spread| spread.median)
}

/// Writes a file and sees it to the disk, so that the page cache can forget it.
fn settle(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)?;
    Ok(std::fs::File::open(path)?.sync_all()?)
}

//! `headwater-bench edge`: our edge beside nginx, Varnish and HAProxy, in alternating rounds.
//!
//! Only ratios from one run mean anything on a shared machine; so each round measures all servers
//! one after the other, and a table's ratio is the median over the rounds of that round's ratio.

mod admits;
mod bars;
mod connects;
mod hits;
mod idle;
mod plot;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::{Player, Protocol, Result, Tickets};
use crate::origin::Origin;
use crate::peer::{self, Server, Setting, Tier};
use bars::With;
use report::Report;

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The reference stack's binary
    #[arg(long, value_name = "FILE")]
    stack: PathBuf,
    /// Another build of it, measured as a peer over every protocol: what a change costs or saves
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// The command `headwater`, whose edge is measured with every layer on; without it that part is
    /// left out
    #[arg(long, value_name = "FILE")]
    command: Option<PathBuf>,
    /// Where the peer is built and kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// How often each server is measured in each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that one measurement lasts
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections kept open
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    streams: u16,
    /// Connections on which nothing happens, whose memory is measured
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u16).range(1..=2000))]
    idle: u16,
    /// Only these parts; by default all
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Only these protocols; by default all
    #[arg(long, value_enum)]
    protocol: Vec<Protocol>,
    /// Only these body sizes in bytes; by default 1 KiB, 64 KiB and 1 MiB
    #[arg(long, value_name = "BYTES")]
    size: Vec<u64>,
    /// Let all servers log each request to a file
    #[arg(long)]
    log: bool,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables here as Markdown too, in the place of those that a file has between its
    /// marks
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a plot of the ratios here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Run only the cases that have bars, and fail where one is missed
    #[arg(long, conflicts_with = "alone")]
    check: bool,
    /// Start no peers: load for a profile of ours
    #[arg(long)]
    alone: bool,
}

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Hits from memory
    Ram,
    /// Hits from memory, with every layer on and each logged, beside nginx with what it has of them
    Layered,
    /// Hits from disk
    Disk,
    /// Hits of 1 KiB, each logged
    Logged,
    /// New connections, with full and with resumed handshakes
    Connects,
    /// Memory of connections on which nothing happens
    Idle,
}

/// What all parts measure.
struct Bench<'a> {
    args: &'a Args,
    tls: rustls::ClientConfig,
    origin: Origin,
    dir: PathBuf,
    bar: ProgressBar,
}

/// Runs the bench.
///
/// # Errors
/// When a server cannot be started, or gives a wrong answer, or with `--check` when a bar is missed.
pub async fn run(args: &Args) -> Result<()> {
    if !(0.1..=600.0).contains(&args.seconds) {
        return Err("--seconds must lie between 0.1 and 600".into());
    }
    if args.check && args.command.is_none() {
        return Err("--check needs --command: with every layer on there are bars, too".into());
    }
    let dir = tempfile::tempdir()?;
    let pair = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    std::fs::write(dir.path().join("certificate.pem"), pair.cert.pem())?;
    std::fs::write(dir.path().join("key.pem"), pair.signing_key.serialize_pem())?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let bench = Bench {
        args,
        tls: crate::load::trust_only(pair.cert.der())?,
        origin: crate::origin::serve().await?,
        dir: dir.path().to_owned(),
        bar,
    };
    let mut report = Report::new(args);
    if bench.wants(Part::Ram) || bench.wants(Part::Connects) {
        let servers = bench.servers("ram", args.log, Tier::Ram)?;
        if bench.wants(Part::Ram) {
            report.ram = hits::measure(&bench, &servers, &hits::ram_cases(args)).await?;
        }
        if bench.wants(Part::Connects) {
            report.connects = connects::measure(&bench, &servers).await?;
        }
        bench.end(servers).await?;
    }
    if let Some(command) = args.command.as_deref().filter(|_| bench.wants(Part::Layered)) {
        // The log is one of the layers.
        let setting = bench.setting("layered", true, Tier::Ram)?;
        let ours = peer::layered(command, &setting)?;
        admits::check_answer(&ours).await?;
        // The very same is asked of it, token in the path and all, though it asks for none.
        let same = Player { token: String::new(), ..ours.player().clone() };
        let mut servers = vec![ours];
        if !args.alone {
            let nginx = peer::nginx_binary(&args.cache)?;
            servers.push(peer::nginx(&nginx, &setting)?.asked_by(same));
            servers.push(peer::guarded(&nginx, &setting)?);
            match peer::scripted_nginx() {
                Some(nginx) => {
                    let scripted = peer::scripted(&nginx, command, &setting)?;
                    admits::check_answer(&scripted).await?;
                    admits::check_sessions(&scripted).await?;
                    servers.push(scripted);
                }
                None => bench.bar.println("no nginx with Lua is installed: left out"),
            }
        }
        for server in servers.iter().filter(|server| server.asks_for_tokens()) {
            admits::check(server, &bench.tls).await?;
        }
        report.layered = hits::measure(&bench, &servers, &hits::ram_cases(args)).await?;
        bench.end(servers).await?;
    }
    if bench.wants(Part::Logged) {
        let servers = bench.servers("logged", true, Tier::Ram)?;
        report.logged = hits::measure(&bench, &servers, &hits::small_cases(args)).await?;
        bench.end(servers).await?;
    }
    if bench.wants(Part::Disk) {
        let servers = bench.servers("disk", args.log, Tier::Disk)?;
        report.disk = hits::measure(&bench, &servers, &hits::disk_cases(args)).await?;
        bench.end(servers).await?;
    }
    if bench.wants(Part::Idle) {
        report.idle = idle::measure(&bench).await?;
    }
    bench.bar.finish_and_clear();
    report.print();
    report.save()?;
    if args.check {
        let cleared = [
            bars::check(With::NoFlag, &report.ram),
            bars::check(With::EveryLayer, &report.layered),
        ];
        if cleared.contains(&false) {
            return Err("a bar was missed".into());
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        if self.args.check {
            return [Part::Ram, Part::Layered].contains(&part);
        }
        self.args.part.is_empty() || self.args.part.contains(&part)
    }

    /// What the servers of a part are given.
    fn setting(&self, name: &str, log: bool, tier: Tier) -> Result<Setting> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Setting {
            dir,
            certificate: self.dir.join("certificate.pem"),
            key: self.dir.join("key.pem"),
            origin: self.origin.addr,
            log,
            tier,
        })
    }

    /// Starts ours and every peer that there is.
    fn servers(&self, name: &str, log: bool, tier: Tier) -> Result<Vec<Server>> {
        let setting = self.setting(name, log, tier)?;
        let mut servers = vec![peer::headwater(&self.args.stack, &setting)?];
        if self.args.alone {
            return Ok(servers);
        }
        servers.push(peer::nginx(&peer::nginx_binary(&self.args.cache)?, &setting)?);
        if let Some(other) = &self.args.beside {
            let dir = setting.dir.join("beside");
            std::fs::create_dir_all(&dir)?;
            let setting = Setting { dir, ..setting };
            servers.push(peer::headwater(other, &setting)?.called("beside"));
            return Ok(servers);
        }
        if tier == Tier::Ram && !self.args.check {
            for (program, start) in [
                ("varnishd", peer::varnish as fn(&std::path::Path, &Setting) -> Result<Server>),
                ("haproxy", peer::haproxy),
            ] {
                match peer::installed(program) {
                    Some(binary) => servers.push(start(&binary, &setting)?),
                    None => self.bar.println(format!("{program} is not installed: left out")),
                }
            }
        }
        Ok(servers)
    }

    /// Ends the servers of a part. Where ours are alone they count for a profile, which they write at their end, and
    /// have to end in order.
    async fn end(&self, servers: Vec<Server>) -> Result<()> {
        if self.args.alone {
            for server in servers {
                server.end().await?;
            }
        }
        Ok(())
    }

    /// The client's side of TLS where each handshake is a whole one.
    fn unresumed(&self) -> rustls::ClientConfig {
        let mut tls = self.tls.clone();
        tls.resumption = rustls::client::Resumption::disabled();
        tls
    }

    /// That where sessions are resumed, and what counts them.
    fn resumed(&self) -> (rustls::ClientConfig, std::sync::Arc<Tickets>) {
        let mut tls = self.tls.clone();
        let tickets = Tickets::of(&mut tls);
        (tls, tickets)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.args.seconds)
    }
}

/// The order of servers in a round: who goes first alternates.
fn turns(servers: usize, round: u32) -> impl Iterator<Item = usize> {
    (0..servers).map(move |turn| (turn + round as usize) % servers)
}

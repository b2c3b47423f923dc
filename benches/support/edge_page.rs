//! The page of metrics of a running `headwater edge` that has all it can have, and the same families in a
//! registry of this process.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use headwater::cache::{Cache, Disk};
use headwater::edge::access_log::AccessLog;
use headwater::edge::hints::HintMetrics;
use headwater::edge::metrics::{register_certificates, register_server};
use headwater::edge::trace::Tracer;
use headwater::edge::{LogWriter, Pressure, SteeringMetrics};
use headwater::net::Clock;
use headwater::net::server::{Metrics, Tls};
use headwater::origin::upstream::{OriginConfig, Origins, register_standing};
use prometheus_client::registry::Registry;

use crate::origin::Origin;

/// Origins of each of the groups.
const ORIGINS: u32 = 4;
const GROUPS: [&str; 4] = ["films", "series", "live", "pages"];

const CONFIG: &str = "\
[server]
listen_http = '127.0.0.1:0'
listen = '127.0.0.1:0'
[server.tls]
self_signed = 'localhost'
[[upstream]]
name = 'films'
origins = ['http://127.0.0.1:9', 'http://127.0.0.1:11']
[[site]]
hosts = '*'
upstream = 'films'
[cache.disk]
folder = 'disk'
size = '256 MiB'
[operator]
listen = '127.0.0.1:0'
[log]
access = 'access.log'
[sessions]
on = true
[shed]
on = true
[cmsd]
on = true
[steering]
path = '/steer'
pathways = ['a', 'b']
here = 'a'
when_shedding = true
[shield]
on = true
[trace]
endpoint = 'http://127.0.0.1:9'
";

/// Adds to a registry what an edge has beside its cache, its own counters and its sessions. The writer is that of
/// its log.
pub fn register(registry: &mut Registry, folder: &Path) -> LogWriter {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    register_certificates(&tls, Clock::system(), registry);
    headwater::origin::Metrics::default().register(registry);
    let groups = GROUPS.map(|name| {
        let named = |at| OriginConfig::new(format!("https://origin-{at}.{name}.example"), at);
        let origins = (0..ORIGINS).fold(Origins::builder(), |origins, at| {
            origins.origin_with(Origin::new(64), named(at))
        });
        (name, origins.build())
    });
    register_standing(registry, move || {
        groups.iter().map(|(name, origins)| ((*name).to_owned(), origins.standing())).collect()
    });
    HintMetrics::default().register(registry);
    // One of its own, for what a disk tells: the objects of the other stay in memory.
    let disk = Disk::open(folder.join("own"), 256 << 20).unwrap();
    let disk = Cache::builder().name("disk").disk(disk).build();
    disk.metrics().register(registry.sub_registry_with_label(("cache".into(), "disk".into())));
    let (log, writer) = AccessLog::start(io::sink(), 16).unwrap();
    log.register(registry);
    Pressure::default().register(registry);
    SteeringMetrics::default().register(registry);
    Tracer::new("edge", 1_000, false, 16, Clock::system()).0.register(registry);
    register_server(&Metrics::default(), registry);
    writer
}

/// The families of a page.
pub fn families(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(|name| name.trim_end_matches("_total").to_owned()).collect()
}

/// Those of an edge that runs for as long as it takes to ask.
pub fn of_an_edge(command: &str, folder: &Path) -> BTreeSet<String> {
    std::fs::write(folder.join("edge.toml"), CONFIG).unwrap();
    let mut edge = Command::new(command);
    let edge = edge.current_dir(folder).args(["edge", "--config", "edge.toml"]);
    let mut edge = Ended(edge.stderr(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(edge.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let operator = said.find_map(|line| Some(line.strip_prefix("  operator ")?.trim().to_owned()));
    let operator = operator.expect("the edge serves");
    let (_, addr) = operator.split_once("://").unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    families(&page)
}

/// A process that ends with what holds it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

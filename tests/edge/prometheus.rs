//! What deploy/ offers for Prometheus, tried with a real one that scrapes a loaded edge: its configuration
//! and rules are good, the page of metrics is, each alert fires when it should and only then, and every
//! expression of dashboard and rules gives numbers.
//!
//! `HEADWATER_PROMETHEUS` is the folder with prometheus and promtool (`cargo xtask test` sees to it);
//! without it these tests are skipped, and say so.
#![allow(clippy::print_stdout, reason = "who skips says so")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::observing::{self, load};
use crate::process::{Files, Origin, get, wait_for};

/// The lines of prometheus.yml that an operator changes, too.
const TARGET: &str = "targets: [\"127.0.0.1:9900\"]";
const INTERVAL: &str = "scrape_interval: 15s";
/// Rounds of load, at most: it ends when all is seen.
const MOST: usize = 100_000;

fn programs() -> Option<PathBuf> {
    let programs = std::env::var_os("HEADWATER_PROMETHEUS").map(PathBuf::from);
    if programs.is_none() {
        println!("skipped: HEADWATER_PROMETHEUS is unset");
    }
    programs
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// Runs promtool; it succeeds, and finds nothing to say against what it is given.
#[track_caller]
fn promtool(programs: &Path, arguments: &[&str], file: &Path) -> String {
    let mut command = Command::new(programs.join("promtool"));
    let output = command.args(arguments).arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    said
}

#[test]
fn rules_are_good_and_each_alert_fires_when_it_should() {
    let Some(programs) = programs() else { return };
    let rules = deploy("prometheus/alerts.yml");
    promtool(&programs, &["check", "rules"], &rules);
    promtool(&programs, &["check", "config"], &deploy("prometheus/prometheus.yml"));
    let tests = deploy("prometheus/alerts.test.yml");
    promtool(&programs, &["test", "rules"], &tests);
    // Fires, and does not: each alert stands in the tests at least twice.
    let tests = fs::read_to_string(tests).unwrap();
    let rules = fs::read_to_string(rules).unwrap();
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let manual = fs::read_to_string(deploy("../docs/observing.md")).unwrap();
    for alert in alerts {
        let times = tests.matches(&format!("alertname: {alert}\n")).count();
        assert!(times >= 2, "{alert} is tested {times} times");
        assert!(manual.contains(&format!("`{alert}`")), "docs/observing.md is silent on {alert}");
    }
}

#[test]
fn every_expression_gives_numbers_of_a_loaded_edge() {
    let Some(programs) = programs() else { return };
    let origin = Origin::start("one");
    let (files, edge) = observing::edge(&origin);
    let (http, operator) = (edge.addr("http"), edge.addr("operator"));
    let prometheus = Prometheus::start(&programs, &files, operator);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..MOST {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                load(http, n);
            }
        });
        let _ends = Ends(&ends);
        for (what, expression) in expressions(&prometheus) {
            let numbers = || prometheus.numbers(&expression).filter(|all| !all.is_empty());
            wait_for(&format!("{what}: {expression}"), numbers);
        }
        let page = files.path("metrics.txt");
        fs::write(&page, get(operator, "localhost", "/metrics").body).unwrap();
        let checked = Command::new(programs.join("promtool"))
            .args(["check", "metrics"])
            .stdin(fs::File::open(&page).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success() && said.is_empty(), "promtool check metrics:\n{said}");
    });
}

/// Expressions of the dashboard as Grafana asks them, and of the rules as Prometheus knows them, without
/// the comparison that makes an alert of a number; each with what it is for.
fn expressions(prometheus: &Prometheus) -> Vec<(String, String)> {
    let dashboard = fs::read_to_string(deploy("grafana/headwater-edge.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let asked = target["expr"].as_str().unwrap();
            let asked = asked.replace("$instance", ".+").replace("$__rate_interval", "1m");
            assert!(!asked.contains('$'), "{asked}");
            all.push((format!("the panel {}", panel["title"]), asked));
        }
    }
    assert!(all.len() > 30, "{all:?}");
    let known = wait_for("the rules", || prometheus.ask("/api/v1/rules"));
    let rules = known["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 10, "{known}");
    for rule in rules {
        let query = rule["query"].as_str().unwrap();
        let compared = [" == ", " > ", " < "].iter().filter_map(|sign| query.rsplit_once(sign));
        let compared = compared.filter(|(_, bound)| bound.trim().parse::<f64>().is_ok());
        let (number, _) = compared.min_by_key(|(number, _)| number.len()).unwrap();
        all.push((format!("the alert {}", rule["name"]), number.to_owned()));
    }
    all
}

/// Ends the load, whatever becomes of the test.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A Prometheus with the configuration of deploy/, but for whom it scrapes and how often.
struct Prometheus {
    process: Child,
    addr: SocketAddr,
}

impl Prometheus {
    fn start(programs: &Path, files: &Files, operator: SocketAddr) -> Self {
        let config = fs::read_to_string(deploy("prometheus/prometheus.yml")).unwrap();
        assert!(config.contains(TARGET) && config.contains(INTERVAL));
        let config = config
            .replace(TARGET, &format!("targets: [\"{operator}\"]"))
            .replace(INTERVAL, "scrape_interval: 500ms");
        fs::write(files.path("prometheus.yml"), config).unwrap();
        fs::copy(deploy("prometheus/alerts.yml"), files.path("alerts.yml")).unwrap();
        // A port that was free a moment ago: it does not tell which one it got.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = fs::File::create(files.path("prometheus.log")).unwrap();
        let process = Command::new(programs.join("prometheus"))
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--config.file={}", files.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", files.path("series").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut prometheus = Self { process, addr };
        wait_for("Prometheus", || {
            if let Some(status) = prometheus.process.try_wait().unwrap() {
                let said = fs::read_to_string(files.path("prometheus.log")).unwrap_or_default();
                panic!("Prometheus ended: {status}\n{said}");
            }
            prometheus.ask("/api/v1/query?query=1")
        });
        prometheus
    }

    /// The data of an answer of its API, if it gives one.
    fn ask(&self, target: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        // An answer to this version is not sent in chunks.
        write!(stream, "GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        assert_ne!(answer["status"], "error", "{target}: {answer}");
        Some(answer["data"].clone())
    }

    /// What an expression gives: every number of it, where all are numbers.
    fn numbers(&self, expression: &str) -> Option<Vec<f64>> {
        let escaped = expression.bytes().fold(String::new(), |mut escaped, byte| {
            let _ = write!(escaped, "%{byte:02x}");
            escaped
        });
        let data = self.ask(&format!("/api/v1/query?query={escaped}"))?;
        let numbers = data["result"].as_array()?.iter().map(|sample| {
            let number: f64 = sample["value"][1].as_str()?.parse().ok()?;
            number.is_finite().then_some(number)
        });
        numbers.collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

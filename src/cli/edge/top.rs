//! `headwater top`: what a running edge answers most of, by a field of its log.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use headwater::net::Clock;
use serde_json::{Value, json};

use super::super::Error;
use super::watch::{Lines, Next, Whom, lost};

/// The most values that are counted apart; what is left is counted together.
const MAX_GROUPS: usize = 10_000;
/// What they are called.
const OTHERS: &str = "(others)";

/// What a running edge answers most of.
#[derive(clap::Args)]
#[command(after_help = "\
headwater top --config edge.toml --by peer --filter 'status >= 400' --once --json")]
pub(crate) struct Args {
    #[command(flatten)]
    whom: Whom,

    /// By which field
    #[arg(long, value_name = "FIELD", default_value = "path", value_parser = [
        "path", "host", "peer", "route", "status", "cache", "protocol", "method", "end", "user_agent",
    ])]
    by: String,

    /// How many seconds each table tells of
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,

    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 20)]
    rows: usize,

    /// One table, and end
    #[arg(long)]
    once: bool,

    /// An object of JSON for each table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let mut lines = args.whom.lines()?;
    let mut out = std::io::stdout().lock();
    let redraws = out.is_terminal() && !args.json && !args.once;
    if redraws {
        writeln!(out, "counting: the first table comes in {} s", args.every)?;
    }
    loop {
        let counted = count(&mut lines, args)?;
        let mut text = if args.json {
            let mut text = counted.json(args).to_string();
            text.push('\n');
            text
        } else {
            counted.table(args)
        };
        if redraws {
            text.insert_str(0, "\x1b[H\x1b[2J");
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        if args.once {
            return Ok(());
        }
    }
}

/// What came in one stretch of time.
#[derive(Default)]
struct Counted {
    groups: HashMap<String, Tally>,
    all: Tally,
    lost: u64,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    hits: u64,
    errors: u64,
    micros: u64,
}

fn count(lines: &mut Lines, args: &Args) -> Result<Counted, Error> {
    let clock = Clock::system();
    let (started, window) = (clock.now(), Duration::from_secs(args.every));
    let mut counted = Counted::default();
    while clock.now().since(started) < window {
        match lines.next()? {
            Next::Nothing => {}
            Next::End => return Err("the edge has ended its log".into()),
            Next::Line(line) => match lost(&line) {
                Some(lost) => counted.lost += lost,
                None => counted.add(&serde_json::from_str(&line).unwrap_or_default(), &args.by),
            },
        }
    }
    Ok(counted)
}

impl Counted {
    fn add(&mut self, line: &Value, by: &str) {
        let value = match line.get(by) {
            Some(Value::String(text)) if by == "peer" => without_port(text),
            Some(Value::String(text)) => printable(text),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        let known = self.groups.contains_key(&value) || self.groups.len() < MAX_GROUPS;
        let group = self.groups.entry(if known { value } else { OTHERS.to_owned() }).or_default();
        for tally in [group, &mut self.all] {
            let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or_default();
            let cache = line.get("cache").and_then(Value::as_str);
            tally.requests += 1;
            tally.bytes += number("bytes");
            tally.hits += u64::from(matches!(cache, Some("hit" | "stale")));
            tally.errors += u64::from(number("status") >= 400);
            tally.micros += number("duration_us");
        }
    }

    /// The most first.
    fn ranked(&self, rows: usize) -> Vec<(&str, Tally)> {
        let mut all: Vec<_> =
            self.groups.iter().map(|(name, tally)| (name.as_str(), *tally)).collect();
        all.sort_by(|(one, a), (other, b)| b.requests.cmp(&a.requests).then(one.cmp(other)));
        all.truncate(rows);
        all
    }

    fn json(&self, args: &Args) -> Value {
        let group = |(value, tally): (&str, Tally)| {
            let mut group = tally.json();
            group["value"] = value.into();
            group
        };
        let mut all = self.all.json();
        all["by"] = args.by.as_str().into();
        all["seconds"] = args.every.into();
        all["lost"] = self.lost.into();
        all["groups"] = self.ranked(args.rows).into_iter().map(group).collect();
        all
    }

    fn table(&self, args: &Args) -> String {
        let mut text = format!(
            "{:>9} {:>11} {:>6} {:>6} {:>8}  {}\n",
            "requests/s", "kbit/s", "hit %", "err %", "mean ms", args.by
        );
        for (value, tally) in self.ranked(args.rows).into_iter().chain([("all", self.all)]) {
            let count = tally.requests.max(1) as f64;
            let seconds = args.every as f64;
            let _ = writeln!(
                text,
                "{:>10.1} {:>11.0} {:>6.1} {:>6.1} {:>8.1}  {value}",
                tally.requests as f64 / seconds,
                tally.bytes as f64 * 8.0 / 1000.0 / seconds,
                tally.hits as f64 * 100.0 / count,
                tally.errors as f64 * 100.0 / count,
                tally.micros as f64 / 1000.0 / count,
            );
        }
        if self.lost > 0 {
            let _ = writeln!(text, "{} lines were lost: this reader is too slow", self.lost);
        }
        text
    }
}

impl Tally {
    fn json(self) -> Value {
        let Self { requests, bytes, hits, errors, micros } = self;
        let mean = micros / requests.max(1);
        json!({ "requests": requests, "bytes": bytes, "hits": hits, "errors": errors, "mean_us": mean })
    }
}

/// A client's address alone: its port is another at each connection.
fn without_port(peer: &str) -> String {
    match peer.parse::<std::net::SocketAddr>() {
        Ok(peer) => peer.ip().to_string(),
        Err(_) => printable(peer),
    }
}

/// What a client said, without what steers terminals.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_counted_by_value_and_in_bounds() {
        let mut counted = Counted::default();
        for n in 0..MAX_GROUPS + 5 {
            let line = json!({
                "path": format!("/{n}\u{1b}"), "status": 404, "bytes": 10, "cache": "hit", "duration_us": 4
            });
            counted.add(&line, "path");
        }
        counted.add(&json!({ "path": "/0\u{1b}", "status": 200, "cache": "miss" }), "path");
        assert_eq!(counted.groups.len(), MAX_GROUPS + 1);
        let ranked = counted.ranked(2);
        assert_eq!((ranked[0].0, ranked[0].1.requests), (OTHERS, 5));
        assert_eq!((ranked[1].0, ranked[1].1.requests, ranked[1].1.errors), ("/0\u{fffd}", 2, 1));
        assert_eq!((counted.all.hits, counted.all.bytes), (10_005, 100_050));
    }

    #[test]
    fn a_client_is_one_whatever_its_port() {
        assert_eq!(without_port("192.0.2.7:4711"), "192.0.2.7");
        assert_eq!(without_port("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(without_port("192.0.2.0"), "192.0.2.0");
    }
}

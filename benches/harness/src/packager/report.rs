//! The figures of the packager's bench: as a table, as JSON, and held against their bars.

use std::path::Path;

use serde::Serialize;

use super::cases::{Case, Kind};
use super::{PerAnswer, median};
use crate::load::Result;
use crate::stats::Spread;

/// Whether the page cache holds what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Temperature {
    /// It does.
    Warm,
    /// It holds nothing of it.
    Cold,
}

/// One row. Figures are per answer.
#[derive(Debug, Serialize)]
pub struct Row {
    case: Kind,
    /// Of another packager, what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// In the table.
    #[serde(skip)]
    name: String,
    state: Temperature,
    /// CPU time of the packager, the median over the rounds.
    cpu_us: f64,
    /// That of nginx sending the same bytes from a file.
    sendfile_us: f64,
    /// The first over the second, round by round.
    ratio_median: f64,
    ratio_iqr: [f64; 2],
    /// CPU time of a bare loop of `pread` and `write` over the same ranges.
    bare_us: Option<f64>,
    /// The packager's over it, round by round.
    bare_ratio_median: Option<f64>,
    bare_ratio_iqr: Option<[f64; 2]>,
    reads: f64,
    bytes_read: f64,
    bytes_sent: f64,
    /// Bytes read over bytes sent.
    amplification: f64,
    /// How often each byte sent was copied in user space.
    copies: f64,
    ttfb_us: f64,
    sendfile_ttfb_us: f64,
}

impl Row {
    /// From CPU times of the packager, nginx and, where there is one, a bare loop; and times to the
    /// first byte of the first two.
    pub(super) fn new(
        case: &Case,
        state: Temperature,
        spent: &[Vec<f64>],
        first: &[Vec<f64>; 2],
        counted: PerAnswer,
    ) -> Result<Self> {
        let [ours, sendfile, more @ ..] = spent else { return Err("nothing was measured".into()) };
        let over = |peer: &[f64]| {
            Spread::of(ours.iter().zip(peer).map(|(ours, peer)| ours / peer))
                .ok_or("no rounds were run")
        };
        let ratio = over(sendfile)?;
        let bare = more.first();
        let bare_ratio = bare.map(|bare| over(bare)).transpose()?;
        // A peer's reads are its own business.
        let counted = if case.kind == Kind::Peer { PerAnswer::default() } else { counted };
        Ok(Self {
            case: case.kind,
            url: case.peer.as_ref().map(|peer| peer.url.clone()),
            name: case.name().to_owned(),
            state,
            cpu_us: median(ours),
            sendfile_us: median(sendfile),
            ratio_median: ratio.median,
            ratio_iqr: [ratio.low, ratio.high],
            bare_us: bare.map(|bare| median(bare)),
            bare_ratio_median: bare_ratio.map(|ratio| ratio.median),
            bare_ratio_iqr: bare_ratio.map(|ratio| [ratio.low, ratio.high]),
            reads: counted.reads,
            bytes_read: counted.bytes_read,
            bytes_sent: counted.bytes_sent,
            amplification: counted.bytes_read / counted.bytes_sent.max(1.0),
            copies: counted.copies,
            ttfb_us: median(&first[0]),
            sendfile_ttfb_us: median(&first[1]),
        })
    }
}

/// Prints the table.
pub fn print(rows: &[Row], rounds: u32, seconds: f64, connections: u16) {
    println!("{}", crate::cpu::machine());
    println!(
        "segments over HTTP/1.1, {connections} connections, {rounds} rounds of {seconds} s each; \
         cold: {rounds} single requests"
    );
    println!(
        "{:<11}{:<5} │{:>8}{:>12}{:>7} ({:>11}) │{:>8}{:>7} │{:>7}{:>11}{:>11}{:>7}{:>7} │{:>9}{:>13}",
        "case",
        "",
        "cpu_us",
        "sendfile_us",
        "ratio",
        "quartiles",
        "bare_us",
        "ratio",
        "reads",
        "bytes_read",
        "bytes_sent",
        "r/s",
        "copies",
        "ttfb_us",
        "sendfile_ttfb"
    );
    for row in rows {
        let state = if row.state == Temperature::Warm { "warm" } else { "cold" };
        let figure = |value: Option<f64>, places: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}"))
        };
        println!(
            "{:<11}{:<5} │{:>8.0}{:>12.0}{:>7.2} ({:>4.2} – {:>4.2}) │{:>8}{:>7} │{:>7.1}{:>11.0}{:>11.0}{:>7.3}{:>7.2} │{:>9.0}{:>13.0}",
            row.name,
            state,
            row.cpu_us,
            row.sendfile_us,
            row.ratio_median,
            row.ratio_iqr[0],
            row.ratio_iqr[1],
            figure(row.bare_us, 0),
            figure(row.bare_ratio_median, 2),
            row.reads,
            row.bytes_read,
            row.bytes_sent,
            row.amplification,
            row.copies,
            row.ttfb_us,
            row.sendfile_ttfb_us,
        );
    }
}

/// Writes the figures as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write(file: &Path, rows: &[Row], rounds: u32, seconds: f64, connections: u16) -> Result<()> {
    let report = serde_json::json!({
        "bench": "packager",
        "date": headwater_net::Clock::system().now().to_http_date(),
        "machine": crate::cpu::machine(),
        "rounds": rounds,
        "seconds": seconds,
        "connections": connections,
        "cases": rows,
    });
    Ok(std::fs::write(file, serde_json::to_vec_pretty(&report)?)?)
}

/// Prints one line a bar, and tells whether all are cleared.
pub fn check(rows: &[Row]) -> bool {
    let mut cleared = true;
    for row in rows.iter().filter(|row| row.state == Temperature::Warm) {
        for (what, measured, bar) in bars(row) {
            let ok = measured <= bar;
            cleared &= ok;
            let word = if ok { "ok" } else { "missed" };
            println!("{} {what}: {measured:.3}, at most {bar}: {word}", row.case.name());
        }
    }
    cleared
}

/// What a row is held against: what, measured, at most.
fn bars(row: &Row) -> Vec<(&'static str, f64, f64)> {
    let cpu = |bar| ("cpu over sendfile", row.ratio_median, bar);
    let mut bars = match row.case {
        Kind::Video | Kind::Muxed => vec![cpu(1.5)],
        Kind::Ts => vec![cpu(1.4)],
        Kind::TsAes128 => vec![cpu(2.5)],
        Kind::Audio => row
            .bare_ratio_median
            .map(|ratio| ("cpu over a bare loop", ratio, 2.3))
            .into_iter()
            .collect(),
        Kind::Peer => Vec::new(),
    };
    if matches!(row.case, Kind::Video | Kind::Audio) {
        bars.push(("bytes read over bytes sent", row.amplification, 1.05));
    }
    if row.case != Kind::Peer {
        bars.push(("copies in user space", row.copies, 1.0));
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: Kind, ratio: f64) -> Row {
        let case = Case {
            kind: case,
            targets: Vec::new(),
            files: Vec::new(),
            bare: std::collections::HashMap::new(),
            peer: None,
        };
        let spent = [vec![ratio * 100.0], vec![100.0], vec![50.0]];
        let counted = PerAnswer { reads: 2.0, bytes_read: 104.0, bytes_sent: 100.0, copies: 0.0 };
        Row::new(&case, Temperature::Warm, &spent, &[vec![1.0], vec![1.0]], counted).unwrap()
    }

    #[test]
    fn bars_are_of_their_case() {
        assert!(check(&[row(Kind::Video, 1.5), row(Kind::Audio, 1.1), row(Kind::TsAes128, 2.4)]));
        assert!(!check(&[row(Kind::Video, 1.6)]));
        assert!(!check(&[row(Kind::Audio, 1.2)]), "2.4 over the bare loop");
        assert!(!check(&[row(Kind::Ts, 1.45)]));
    }
}

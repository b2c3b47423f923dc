//! What hits from memory are held against: CPU time a request over nginx's.

use super::hits::Row;
use crate::load::Protocol;

/// The most that a case's ratio may be, where it has a bar. Plain HTTP/1.1 has none from 64 KiB up:
/// nginx sends files by `sendfile` there.
pub(super) fn bar(protocol: Protocol, size: u64) -> Option<f64> {
    match (protocol, size) {
        (_, 0x400)
        | (Protocol::H1Tls | Protocol::H2 | Protocol::H3, 0x1_0000)
        | (Protocol::H1Tls | Protocol::H2, 0x10_0000) => Some(1.0),
        (Protocol::H3, 0x10_0000) => Some(0.85),
        _ => None,
    }
}

/// What ours is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    /// What the stack has without a flag.
    NoFlag,
    /// Every layer on.
    EveryLayer,
}

impl With {
    const fn name(self) -> &'static str {
        match self {
            Self::NoFlag => "",
            Self::EveryLayer => " with every layer on",
        }
    }
}

/// Prints one line a bar, and tells whether all are cleared.
pub(super) fn check(with: With, rows: &[Row]) -> bool {
    let mut cleared = true;
    for row in rows {
        let Some(bar) = bar(row.protocol, row.size) else { continue };
        let case = format!("{} {} bytes{}", row.protocol.name(), row.size, with.name());
        let Some(nginx) = row.servers.iter().find(|server| server.name == "nginx") else {
            cleared = false;
            println!("{case}: nginx was not measured");
            continue;
        };
        let ratio = nginx.ratio.median;
        let ok = ratio <= bar;
        cleared &= ok;
        let word = if ok { "ok" } else { "missed" };
        println!("{case}, CPU over nginx: {ratio:.2}, at most {bar}: {word}");
    }
    cleared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::hits::{Figures, SIZES};
    use crate::stats::Spread;

    fn row(protocol: Protocol, size: u64, ratio: f64) -> Row {
        row_beside("nginx", protocol, size, ratio)
    }

    fn row_beside(name: &'static str, protocol: Protocol, size: u64, ratio: f64) -> Row {
        let spread = Spread { median: ratio, low: ratio, high: ratio };
        let figures = Figures {
            name,
            cpu_us: spread,
            ratio: spread,
            requests_per_s: 1.0,
            mb_per_s: 1.0,
            p99_us: 1.0,
            misses_per_mille: 0.0,
        };
        Row { protocol, size, servers: vec![figures] }
    }

    #[test]
    fn ten_cases_have_a_bar_and_one_that_is_missed_fails() {
        let cases = Protocol::ALL.map(|protocol| SIZES.map(|size| (protocol, size)));
        let with_bar = cases.into_iter().flatten().filter(|&(p, size)| bar(p, size).is_some());
        assert_eq!(with_bar.count(), 10);
        assert!(check(
            With::NoFlag,
            &[row(Protocol::H3, 1 << 20, 0.85), row(Protocol::H1, 1 << 20, 9.0)]
        ));
        assert!(!check(With::NoFlag, &[row(Protocol::H3, 1 << 20, 0.86)]));
        let alone = Row { servers: Vec::new(), ..row(Protocol::H3, 1 << 20, 0.1) };
        assert!(!check(With::NoFlag, &[alone]), "there is nothing that it is held against");
    }

    #[test]
    fn with_every_layer_on_hits_are_held_against_a_plain_nginx_by_the_same_bars() {
        let every = With::EveryLayer;
        assert!(check(every, &[row(Protocol::H1, 0x400, 1.0), row(Protocol::H2, 0x1_0000, 1.0)]));
        assert!(!check(every, &[row(Protocol::H1, 0x400, 1.01)]));
        assert!(!check(every, &[row_beside("nginx, layered", Protocol::H1, 0x400, 0.5)]));
    }
}

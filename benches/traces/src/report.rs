//! The figures: as a table, as JSON, and held against their bars.

use std::fmt::Write as _;

use headwater_bench_traces::bar::Bar;
use serde::Serialize;

use crate::cost::Cost;
use crate::measure::Counted;
use crate::policy::Kind;

/// What retention gains at least, in points: over SIEVE of starts and of bytes, over the better of S3-FIFO
/// and W-TinyLFU of bytes, and over W-TinyLFU of starts.
const GAIN: (f64, f64, f64, f64) = (20.0, 4.0, 4.0, 0.0);

/// And where it gains least, of starts and of bytes: nothing is lost.
const LEAST: (f64, f64) = (0.0, 0.2);

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub bench: &'static str,
    pub seed: u64,
    pub requests: u32,
    pub traces: Vec<Row>,
    /// Of this machine, before the last audience.
    pub cost: Cost,
}

/// A trace, and what policies made of it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub objects: usize,
    /// Bytes of all objects.
    pub footprint: u64,
    /// The share of objects that are asked for once.
    pub once: f64,
    pub cells: Vec<Cell>,
    /// The size, in per cent, at which the cache itself was measured, and what it found.
    pub compared: f64,
    pub cache: Counted,
    /// The same, told by the shield.
    pub cache_told: Counted,
}

/// One policy at one size, in per cent of the footprint.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub policy: Kind,
    pub share: f64,
    #[serde(flatten)]
    pub found: Counted,
}

impl Row {
    /// What a policy found at a size.
    pub fn at(&self, policy: Kind, share: f64) -> Counted {
        let cell = |cell: &&Cell| cell.policy == policy && cell.share.to_bits() == share.to_bits();
        self.cells.iter().find(cell).map(|cell| cell.found).unwrap_or_default()
    }

    /// What the cache itself found, and its model; without retention, and with it.
    fn pairs(&self) -> [(Counted, Counted); 2] {
        let model = |kind| self.at(kind, self.compared);
        [(self.cache, model(Kind::Ram)), (self.cache_told, model(Kind::RamTold))]
    }
}

impl Figures {
    /// The sizes, in per cent.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares: Vec<f64> =
            self.traces.iter().flat_map(|row| row.cells.iter().map(|cell| cell.share)).collect();
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        shares
    }

    /// Hit and byte-hit ratios of every policy, trace and size, and what they write, as Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "| trace | objects | GB | asked for once, % |\n|---|---|---|---|");
        for row in &self.traces {
            let (gb, once) = (row.footprint as f64 / 1e9, row.once * 100.0);
            let _ = writeln!(text, "| {} | {} | {gb:.1} | {once:.0} |", row.name, row.objects);
        }
        for (title, of) in [
            ("Hit ratio, %", Counted::hit_ratio as fn(&Counted) -> f64),
            ("Of what a start waits for: hit ratio, %", Counted::start_hit_ratio),
            ("Byte-hit ratio, %", Counted::byte_hit_ratio),
            ("Bytes stored of those asked for, %", Counted::written_ratio),
        ] {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            let rules = "|---".repeat(names.len());
            let _ = writeln!(text, "\n{title}:\n\n| trace | cache, % | {} |", names.join(" | "));
            let _ = writeln!(text, "|---|---{rules}|");
            for row in &self.traces {
                for share in self.shares() {
                    let _ = write!(text, "| {} | {share} ", row.name);
                    for kind in Kind::ALL {
                        let _ = write!(text, "| {:.1} ", of(&row.at(kind, share)));
                    }
                    text.push_str("|\n");
                }
            }
            text.push_str("| mean | ");
            for kind in Kind::ALL {
                let _ = write!(text, "| {:.1} ", self.mean(kind, of));
            }
            text.push_str("|\n");
        }
        let _ = writeln!(
            text,
            "\n| trace | the cache itself, hits, % | the model, % | told | the model |"
        );
        text.push_str("|---|---|---|---|---|\n");
        for row in &self.traces {
            let _ = write!(text, "| {} ", row.name);
            for (cache, model) in row.pairs() {
                let (cache, model) = (cache.hit_ratio(), model.hit_ratio());
                let _ = write!(text, "| {cache:.1} | {model:.1} ");
            }
            text.push_str("|\n");
        }
        let _ = write!(text, "\n{}", self.cost.table());
        text
    }

    /// What is promised of them: the cache is what its model says; no other policy saves clearly
    /// more of its upstream, over all traces and sizes; and the disk is spared most writes.
    pub fn bars(&self) -> Vec<Bar> {
        let apart =
            |(cache, model): (Counted, Counted)| (cache.hit_ratio() - model.hit_ratio()).abs();
        let apart = self.traces.iter().flat_map(Row::pairs).map(apart).fold(0.0, f64::max);
        let mut bars =
            vec![Bar::most("the cache's hits, and its model's: points apart", apart, 1.0)];
        bars.extend(self.retention());
        let ours = self.mean(Kind::Ram, Counted::byte_hit_ratio);
        for peer in [Kind::Lru, Kind::S3Fifo, Kind::WTinyLfu, Kind::Moka] {
            let ahead = self.mean(peer, Counted::byte_hit_ratio) - ours;
            let case = format!("{} saves more bytes than RAM: points", peer.name());
            bars.push(Bar::most(case, ahead, 0.5));
        }
        let written = self.mean(Kind::Disk, Counted::written_ratio);
        let all = self.mean(Kind::Lru, Counted::written_ratio);
        bars.push(Bar::most("written to disk, of what LRU writes", written / all, 0.25));
        bars
    }

    /// What is promised of retention: with it, no trace of any size saves less than without it, and
    /// starts gain most.
    fn retention(&self) -> [Bar; 6] {
        let gain =
            |of: fn(&Counted) -> f64| self.mean(Kind::RamTold, of) - self.mean(Kind::Ram, of);
        let least = |of: fn(&Counted) -> f64| {
            let each = self.traces.iter().flat_map(|row| {
                let gain =
                    |share| of(&row.at(Kind::RamTold, share)) - of(&row.at(Kind::Ram, share));
                self.shares().into_iter().map(gain)
            });
            each.fold(f64::INFINITY, f64::min)
        };
        let (starts, bytes) = (Counted::start_hit_ratio, Counted::byte_hit_ratio);
        let peer = self.mean(Kind::S3Fifo, bytes).max(self.mean(Kind::WTinyLfu, bytes));
        let peers = self.mean(Kind::RamTold, bytes) - peer;
        let tiny = self.mean(Kind::RamTold, starts) - self.mean(Kind::WTinyLfu, starts);
        [
            Bar::least("retention: starts, points over SIEVE", gain(starts), GAIN.0),
            Bar::least("retention: bytes, points over SIEVE", gain(bytes), GAIN.1),
            Bar::least("retention: starts where it gains least", least(starts), LEAST.0),
            Bar::least("retention: bytes where it gains least", least(bytes), LEAST.1),
            Bar::least("retention: bytes, over S3-FIFO and W-TinyLFU", peers, GAIN.2),
            Bar::least("retention: starts, over W-TinyLFU", tiny, GAIN.3),
        ]
    }

    /// The mean over all traces and sizes.
    fn mean(&self, policy: Kind, of: fn(&Counted) -> f64) -> f64 {
        let cells = self.traces.iter().flat_map(|row| &row.cells);
        let found: Vec<f64> =
            cells.filter(|cell| cell.policy == policy).map(|cell| of(&cell.found)).collect();
        found.iter().sum::<f64>() / found.len().max(1) as f64
    }
}

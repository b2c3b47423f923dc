//! CPU time of an index, and of what peers make of the same movie box.
//!
//! All work on the same bytes in memory, in one process, in alternating rounds; the ratio is that
//! of each round. The peers decode their boxes and no more: they check nothing and join nothing.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use headwater_packager::{Media, Options};
use mp4_atom::{Decode, Moov};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::stats::Spread;
use crate::title::Title;
use crate::{Bar, Result};

/// How long one measurement lasts at least.
const TURN: Duration = Duration::from_millis(25);

/// How much of `mp4-atom`'s CPU time an index may take.
const BAR: f64 = 1.0 / 3.0;

/// What was measured, by contender.
pub struct Build {
    contenders: Vec<Measured>,
    /// Of the index over each contender, round by round.
    ratios: Vec<Spread>,
}

struct Measured {
    name: &'static str,
    micros: Spread,
}

type Contender<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// Measures all in alternating rounds.
pub fn measure(title: &Title, rounds: u32) -> Result<Build> {
    let index = Arc::new(title.index());
    let contenders: Vec<Contender<'_>> = vec![
        ("headwater, index", Box::new(|| drop(black_box(title.index())))),
        (
            "mp4-atom, Moov::decode",
            Box::new(|| drop(black_box(Moov::decode(&mut title.moov.as_ref())))),
        ),
        (
            "mp4, Mp4Reader::read_header",
            Box::new(|| {
                let reader = Cursor::new(title.head.as_ref());
                drop(black_box(mp4::Mp4Reader::read_header(reader, title.size)));
            }),
        ),
        (
            "headwater, timeline and segments from an index",
            Box::new(|| {
                drop(black_box(Media::new(vec![Arc::clone(&index)], &Options::default())));
            }),
        ),
    ];
    Moov::decode(&mut title.moov.as_ref())?;
    mp4::Mp4Reader::read_header(Cursor::new(title.head.as_ref()), title.size)?;
    Media::new(vec![Arc::clone(&index)], &Options::default())?;

    let repeats: Vec<u32> = contenders.iter().map(|(_, run)| repeats(run)).collect();
    let mut micros = vec![Vec::new(); contenders.len()];
    for round in 0..rounds as usize {
        for turn in 0..contenders.len() {
            // Who goes first alternates too.
            let which = (round + turn) % contenders.len();
            micros[which].push(turn_of(&contenders[which].1, repeats[which]));
        }
    }
    let spread = |figures: &[f64]| Spread::of(figures.iter().copied()).ok_or("no rounds");
    let ratios = micros
        .iter()
        .map(|other| spread(&micros[0].iter().zip(other).map(|(a, b)| a / b).collect::<Vec<_>>()))
        .collect::<std::result::Result<_, _>>()?;
    let contenders = contenders
        .iter()
        .zip(&micros)
        .map(|((name, _), micros)| Ok(Measured { name, micros: spread(micros)? }))
        .collect::<Result<_>>()?;
    Ok(Build { contenders, ratios })
}

/// How often something has to run to last a turn.
fn repeats(run: &dyn Fn()) -> u32 {
    run();
    let once = turn_of(run, 3).max(1.0);
    (TURN.as_micros() as f64 / once).ceil() as u32
}

/// CPU-µs of the process for one of so many.
fn turn_of(run: &dyn Fn(), repeats: u32) -> f64 {
    let before = cpu();
    for _ in 0..repeats {
        run();
    }
    (cpu() - before) / f64::from(repeats)
}

/// CPU-µs of this process.
pub fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

impl Build {
    pub fn bars(&self) -> Vec<Bar> {
        let ratio = self.ratios.get(1).map_or(f64::INFINITY, |ratio| ratio.median);
        vec![Bar { case: "CPU of an index / mp4-atom".to_owned(), measured: ratio, most: BAR }]
    }

    pub fn print(&self) {
        println!("A two-hour title whose movie box is in memory, CPU time of one build:");
        println!("{:<48}{:>20}{:>24}", "", "µs (quartiles)", "index / this");
        for (contender, ratio) in self.contenders.iter().zip(&self.ratios) {
            let Spread { median, low, high } = contender.micros;
            println!(
                "{:<48}{median:>8.0} ({low:.0} - {high:.0}){:>12.3} ({:.3} - {:.3})",
                contender.name, ratio.median, ratio.low, ratio.high
            );
        }
        println!();
    }

    pub fn json(&self) -> Value {
        let rows = self.contenders.iter().zip(&self.ratios).map(|(contender, ratio)| {
            json!({ "case": contender.name, "cpu_us": contender.micros, "index_over_this": ratio })
        });
        rows.collect()
    }
}

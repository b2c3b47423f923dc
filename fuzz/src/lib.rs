//! Fuzz targets: each takes any bytes and asserts what must hold whatever they are.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; `tests/replay.rs` runs them over the seeds, over
//! damaged seeds and over inputs that once broke something, as a test among the others. What holds
//! of all: no panic, no read outside the source, an end after a bounded number of steps, and never
//! more memory than [`Target::allowance`] says.

mod at_once;
mod kit;
pub mod memory;
pub mod seeds;
mod targets;

/// One thing that reads what strangers send.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it reads.
    pub reads: Input,
    /// Tries an input. It panics where something does not hold.
    pub run: fn(&[u8]),
    /// Memory that an input may cost: so many bytes for each of its own, besides
    /// [`FIXED_ALLOWANCE`].
    pub bytes_per_byte: usize,
}

/// What seeds a target starts from.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// A whole media file.
    File,
    /// The contents of a movie box.
    Movie,
    /// Text.
    Text(&'static [&'static str]),
    /// What the target makes itself.
    Made(fn() -> Vec<seeds::Seed>),
}

/// Memory that any input may cost, in bytes.
pub const FIXED_ALLOWANCE: usize = 4 << 20;

impl Target {
    /// The most memory that an input of `len` bytes may cost at once, in bytes.
    #[must_use]
    pub fn allowance(&self, len: usize) -> usize {
        FIXED_ALLOWANCE.saturating_add(len.saturating_mul(self.bytes_per_byte))
    }

    /// Tries an input, and measures the memory it costs.
    ///
    /// # Panics
    /// Where something does not hold: that is what a fuzz target is for.
    pub fn exercise(&self, input: &[u8]) {
        let cost = memory::most_during(|| (self.run)(input));
        let allowed = self.allowance(input.len());
        assert!(cost <= allowed, "{cost} bytes of memory for an input of {}", input.len());
    }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("boxes", Input::Movie, targets::boxes::run, 24),
    target("fragments", Input::Made(targets::fragments::seeds), targets::fragments::run, 64),
    target("index", Input::File, targets::index::run, 24),
    target("edits", Input::Made(targets::edits::seeds), targets::edits::run, 64),
    target("plan", Input::File, targets::plan::run, 64),
    target("ts", Input::File, targets::ts::run, 64),
    target("descriptor", Input::Text(targets::descriptor::SEEDS), targets::descriptor::run, 64),
    target("paths", Input::Text(targets::paths::SEEDS), targets::paths::run, 64),
    target("cmcd", Input::Text(targets::cmcd::SEEDS), targets::cmcd::run, 64),
    target("hints", Input::Text(targets::hints::SEEDS), targets::hints::run, 64),
    target("map", Input::Text(targets::map::SEEDS), targets::map::run, 1_024),
    target("query", Input::Text(targets::query::SEEDS), targets::query::run, 64),
    target("http3", Input::Made(targets::http3::seeds), targets::http3::run, 64),
    target("proxy", Input::Made(targets::proxy::seeds), targets::proxy::run, 64),
    target("requests", Input::Text(targets::requests::SEEDS), targets::requests::run, 64),
    target("tokens", Input::Made(targets::tokens::seeds), targets::tokens::run, 256),
    target("filter", Input::Text(targets::filter::SEEDS), targets::filter::run, 256),
    target("traceparent", Input::Text(targets::traceparent::SEEDS), targets::traceparent::run, 64),
    target("addresses", Input::Text(targets::addresses::SEEDS), targets::addresses::run, 256),
    target("steering", Input::Text(targets::steering::SEEDS), targets::steering::run, 64),
    target("origins", Input::Text(targets::origins::SEEDS), targets::origins::run, 64),
    target("orders", Input::Text(targets::orders::SEEDS), targets::orders::run, 256),
    target("config", Input::Made(targets::config::seeds), targets::config::run, 1_024),
    target(
        "pushed",
        Input::Made(targets::config::pushed_seeds),
        targets::config::run_pushed,
        4_096,
    ),
];

const fn target(name: &'static str, reads: Input, run: fn(&[u8]), bytes_per_byte: usize) -> Target {
    Target { name, reads, run, bytes_per_byte }
}

/// The target of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

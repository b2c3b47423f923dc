//! Fuzz targets: each takes any bytes and asserts what must hold whatever they are.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; `tests/replay.rs` runs them over the seeds, over
//! damaged seeds and over inputs that once broke something, as a test among the others. What holds
//! of all: no panic, no read outside the source, an end after a bounded number of steps, and never
//! more memory than [`Target::allowance`] says.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A whole media file.
    File,
    /// The contents of a movie box.
    Movie,
    /// Text.
    Text(&'static [&'static str]),
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
    Target { name: "boxes", reads: Input::Movie, run: targets::boxes::run, bytes_per_byte: 24 },
    Target { name: "index", reads: Input::File, run: targets::index::run, bytes_per_byte: 24 },
    Target { name: "plan", reads: Input::File, run: targets::plan::run, bytes_per_byte: 64 },
    Target { name: "ts", reads: Input::File, run: targets::ts::run, bytes_per_byte: 64 },
    Target {
        name: "paths",
        reads: Input::Text(targets::paths::SEEDS),
        run: targets::paths::run,
        bytes_per_byte: 64,
    },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

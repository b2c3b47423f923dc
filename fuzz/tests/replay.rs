//! Every target over its seeds, over seeds that were damaged in a fixed order, and over inputs that
//! once broke something. What a fuzzer finds is added to `tests/found`, one file an input, so that
//! it is tried for good.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use headwater_fuzz::{Input, TARGETS, Target, named, seeds};

/// Damaged copies of each seed.
const DAMAGED: u64 = 120;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A copy with some bytes changed, and perhaps cut short.
fn damage(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        let value = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][random.below(6)];
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    }
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// One test for all of it: the allocator counts for the whole process.
#[test]
fn nothing_breaks_on_seeds_on_damaged_seeds_and_on_what_once_did() {
    let files = seeds::media();
    if files.len() < 2 {
        eprintln!("skipped: FFmpeg is not there to make seeds");
    }
    assert_eq!(seeds::of(Input::Movie, &files).len(), files.len(), "each has a movie box");
    for target in TARGETS {
        let mut random = Random(1);
        for (name, seed) in seeds::of(target.reads, &files) {
            eprintln!("{} {name}", target.name);
            target.exercise(&seed);
            for _ in 0..DAMAGED {
                target.exercise(&damage(&seed, &mut random));
            }
        }
    }
    found();
}

/// Inputs that once broke a target, in hexadecimal: `tests/found/TARGET-WHAT.hex`.
fn found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let Ok(entries) = fs::read_dir(&folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        let target: &Target = named(name.split('-').next().unwrap())
            .unwrap_or_else(|| panic!("{name} is of no target"));
        eprintln!("{name}");
        target.exercise(&bytes(&fs::read_to_string(&path).unwrap()));
    }
}

/// Bytes of a text in hexadecimal; white space counts for nothing, nor do lines that start with #.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn hexadecimal_has_comments() {
    assert_eq!(bytes("# a comment\n00ff\n 1 2\n"), [0, 0xff, 0x12]);
}

/// A key that has no seed is one that a fuzzer has to guess: where it has a default, it stands in what is
/// written out, and else it belongs into `src/targets/config/options.toml`.
#[test]
fn every_key_of_a_configuration_is_in_a_seed() {
    let target = named("config").unwrap();
    let seeds = seeds::of(target.reads, &[]);
    let text: Vec<String> =
        seeds.into_iter().map(|(_, seed)| String::from_utf8(seed).unwrap()).collect();
    let mut said = BTreeSet::new();
    for line in text.iter().flat_map(|text| text.lines()) {
        let before_equals = line.split('=').map(|part| part.trim_end().rsplit([' ', '{']).next());
        said.extend(before_equals.flatten());
    }
    let page = include_str!("../../docs/configuration.md");
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let mut count = 0;
    for (key, _) in keys {
        assert!(said.contains(key), "no seed of config has the key {key}");
        count += 1;
    }
    assert!(count > 200, "{count} keys");
}

#[test]
fn xtask_knows_every_target() {
    let xtask = include_str!("../../xtask/src/fuzz.rs");
    for target in TARGETS {
        assert!(xtask.contains(&format!("(\"{}\",", target.name)), "{}", target.name);
    }
}

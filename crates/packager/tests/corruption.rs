//! Damaged files: no panic, no endless loop, no more memory than the file itself could need.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod kit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_packager::{Media, Options};
use kit::boxes::{FileSpec, TrackSpec};
use kit::fragments::{Finder, FragmentedSpec};
use kit::{index, media_folder};

/// Counts what is allocated and the most there was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator that counts, for this test only")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a source of `len` bytes may make us hold at once: its tables a few times over.
fn allowed(len: usize) -> usize {
    (4 << 20) + 12 * len
}

/// Indexes and presents a file, and plans every segment of it. Whether that works is not asked.
fn exercise(file: &[u8]) -> bool {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut planned = false;
    if let Ok(index) = index("damaged.mp4", file)
        && let Ok(media) = Media::new(vec![Arc::new(index)], &Options::default())
    {
        for track in media.tracks() {
            let _ = media.init(track.id);
            for number in 1..=media.segment_count(track.id) {
                let plan = media.segment(track.id, number).unwrap();
                assert_eq!(media.segment_bytes(track.id, number), Some(plan.len));
                for part in &plan.parts {
                    if let headwater_packager::Part::Copy(copy) = part {
                        assert!(copy.range.end() <= file.len() as u64, "reads stay in the file");
                    }
                }
                planned = true;
            }
        }
    }
    let most = MOST.load(Ordering::Relaxed).saturating_sub(before);
    assert!(most <= allowed(file.len()), "{most} bytes for a file of {}", file.len());
    planned
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) >> 32) as u32
    }
}

/// Where a file's tables are: its movie box and all fragments' boxes, with what is around them.
fn tables(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    while at + 8 <= file.len() {
        let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let end = if size < 8 { file.len() } else { file.len().min(at + size) };
        // Of data only the header: anything may be in it.
        found.push(at..if &file[at + 4..at + 8] == b"mdat" { at + 8 } else { end });
        at = end;
    }
    found
}

/// Changes bytes of the tables `rounds` times, from a fixed seed.
fn corrupt(name: &str, file: &[u8], rounds: u32) {
    let mut random = Random(7);
    let tables = tables(file);
    let mut survived = 0;
    for round in 0..rounds {
        let mut damaged = file.to_vec();
        for _ in 0..=round % 8 {
            let table = &tables[random.next() as usize % tables.len()];
            let at = table.start + random.next() as usize % table.len();
            damaged[at] = match random.next() % 4 {
                0 => 0xff,
                1 => 0,
                2 => damaged[at] ^ 1 << (random.next() % 8),
                _ => random.next() as u8,
            };
        }
        if round % 10 == 9 {
            damaged.truncate(random.next() as usize % damaged.len());
        }
        survived += u32::from(exercise(&damaged));
    }
    eprintln!("{name}: {survived} of {rounds} damaged files were still presented");
}

fn generated() -> Vec<u8> {
    let mut picture = TrackSpec::video(300, 40, 25);
    picture.offsets = (0..100).flat_map(|_| [(1, 1_024), (1, 2_048), (1, 0)]).collect();
    picture.edits = vec![(100, -1, 1 << 16), (11_900, 1_024, 1 << 16)];
    let mut sound = TrackSpec::audio(500, 20);
    sound.edits = vec![(10_000, 1_024, 1 << 16)];
    let mut compact = TrackSpec { number: 3, ..TrackSpec::audio(200, 9) };
    compact.compact_sizes = 16;
    compact.wide_chunks = true;
    FileSpec::new(vec![picture, sound, compact]).bytes()
}

fn fragmented(finder: Finder, in_movie: usize, defaults: bool) -> Vec<u8> {
    let mut picture = TrackSpec::video(200, 40, 25);
    picture.offsets = vec![(200, -512)];
    let mut spec = FragmentedSpec::new(vec![picture, TrackSpec::audio(375, 20)], 50);
    (spec.finder, spec.in_movie, spec.defaults) = (finder, in_movie, defaults);
    spec.runs = 2;
    spec.final_movie = finder == Finder::None && in_movie == 0;
    spec.bytes()
}

// One test, for the allocator counts for the whole process.
#[test]
fn damage_never_costs_more_than_an_error() {
    let file = generated();
    assert!(exercise(&file));
    corrupt("generated", &file, 4_000);
    for cut in 0..file.len().min(4_000) {
        exercise(&file[..cut]);
    }
    for (finder, in_movie, defaults) in [
        (Finder::Sidx, 0, false),
        (Finder::Mfra, 20, true),
        (Finder::None, 0, true),
        (Finder::SidxEach, 0, false),
    ] {
        let file = fragmented(finder, in_movie, defaults);
        assert!(exercise(&file));
        corrupt(&format!("{finder:?} {in_movie}"), &file, 2_000);
        for cut in (0..file.len()).step_by(7) {
            exercise(&file[..cut]);
        }
    }
    if let Some(folder) = media_folder() {
        for name in [
            "bbb_854x480_30s_aac51.mp4",
            "fire_720p_vfr_phone.mp4",
            "h264_aac_noelst_bframes_audio_first_360p_8s.mp4",
            "dovi84_mov_mebx_tracks.mov",
            "qt_truncated_596s_moov_only.mp4",
            "aac_frag_sidx_60s.mp4",
            "h264_aac_frag_mfra_nosidx.mp4",
            "h264_aac_frag_muxed_clear_8s.mp4",
            "h264_aac_partially_fragmented.mp4",
            "h264_c608_frag_clear.mp4",
            "h264_aac_frag_cenc_8s.mp4",
        ] {
            corrupt(name, &std::fs::read(folder.join(name)).unwrap(), 150);
        }
    }
}

//! Checks an HLS or DASH presentation against rules written from the standards.
//!
//! ```text
//! URL ─▶ fetch ─▶ hls: lines, tags, playlists ─┐
//!                 dash: XML, addressing        ├─▶ media: boxes, packets ─▶ rules ─▶ report
//!                                              ┘
//! ```
//!
//! Every rule has an id, a level, a standard with its section, one sentence, and a function that
//! looks. It shares no code with the packager whose output it is chiefly run on: a checker that
//! reads by the same code as the writer proves nothing. So it has its own tokenizer of playlists
//! (exact about lines and attribute grammar), its own MPD tree, its own readers of boxes, segment
//! indexes and transport streams.
//!
//! ```
//! use headwater_conform::{Memory, Options, check};
//!
//! let mut memory = Memory::new();
//! memory.put("https://a.example/x.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n");
//! let report = check("https://a.example/x.m3u8", &mut memory, &Options::default())?;
//! assert!(report.failed(false), "a playlist without segments is none");
//! # Ok::<(), headwater_conform::Error>(())
//! ```
//!
//! What is *not* checked: what is inside codecs beyond access points, encrypted media, the changes
//! of a live manifest from one fetch to the next, subtitles' text.

mod dash;
mod error;
mod fetch;
mod hls;
mod limits;
mod media;
mod report;
mod rule;
pub mod rules;
mod run;
mod sample;
mod verdict;

pub use error::Error;
pub use fetch::{Answer, Fetch, FetchError, Files, Http, HttpOptions, Memory, Url, Web};
pub use report::{Report, Row};
pub use rule::{Level, Rule, Standard};
pub use run::{Options, check};
pub use sample::Sampling;
pub use verdict::{Finding, Verdict};

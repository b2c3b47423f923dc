//! Probing and encoding through FFmpeg: the only Headwater crate that links it.
//!
//! ```text
//! probe(file) ──▶ Probe            what is in there
//! demo::make ──▶ 1080p.mp4         a mezzanine with timecode and tones, key frame every 2 s
//! demo::make(rung) ──▶ 720p.mp4    the same scene, frames and key frames, smaller
//! encode::rendition ──▶ 720p.mp4   that for any file
//! ```
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use headwater_transcode::{demo, encode, probe};
//!
//! # fn main() -> Result<(), headwater_transcode::Error> {
//! demo::make("demo-1080p.mp4", &demo::DemoSpec::default(), &mut |progress| {
//!     let _percent = progress.fraction().map(|part| part * 100.0);
//!     ControlFlow::Continue(()) // Break(()) stops and leaves no file
//! })?;
//! let smaller = encode::RenditionSpec {
//!     height: 360,
//!     video_bitrate: 800_000,
//!     gop_seconds: 2,
//!     audio: false,
//! };
//! encode::rendition("demo-1080p.mp4", "demo-360p.mp4", &smaller, &mut |_| {
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(probe("demo-360p.mp4")?.streams.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Everything here blocks and computes: call it from a thread of its own or by `spawn_blocking`,
//! never on the async runtime. Nothing is written to stderr; to see FFmpeg's own warnings there,
//! enable the tracing target `headwater_transcode::ffmpeg` at debug.
//!
//! # What it links
//! The system's libavcodec, libavformat, libavfilter, libavutil, libswscale and libswresample,
//! 5.1 or newer (Debian: `libavcodec-dev` and its siblings, and `libclang-dev` to build). This
//! crate is MIT OR Apache-2.0, but Debian builds FFmpeg with libx264, so a program that links it
//! is as a whole under the GPL when it is distributed. That is why linking happens here alone,
//! behind the facade's feature `transcode`, which is off by default.

mod convert;
pub mod demo;
pub mod encode;
mod error;
mod filter;
mod library;
mod mp4;
mod picture;
mod probe;
mod progress;

pub use error::{Cause, Error, Result};
pub use probe::{Kind, Probe, StreamInfo, probe};
pub use progress::{OnProgress, Progress};

//! Just-in-time packaging of mezzanine MP4 to CMAF, HLS and DASH, for Headwater.
//!
//! Bytes flow through the modules in this order:
//!
//! ```text
//! source bytes → isobmff → index → media (timeline, segments) → plan → bytes to send
//! ```
//!
//! The core reads nothing itself: it says which byte ranges it needs, and answers with plans
//! whose length is known before any sample is sent.
//!
//! Around it stands a thin shell (feature `http`, on by default): `assets` names files, `source`
//! reads them, and `service` is a tower service that answers HTTP; its `Packager` has an example.
//!
//! ```
//! use headwater_packager::{IndexBuilder, Limits, SourceId, Step};
//!
//! let mut builder = IndexBuilder::new(SourceId::new("empty.mp4", 0, "v1"), Limits::default());
//! match builder.step() {
//!     Ok(Step::Need(ranges)) => println!("read {ranges:?}, feed them, step again"),
//!     Ok(Step::Done(index)) => println!("{} bytes of index", index.weight_bytes()),
//!     Err(error) => println!("{error}"), // an empty file is no MP4 file
//! }
//! ```

mod choice;
mod error;
mod identity;
mod language;
mod limits;
mod ratio;
mod report;
mod role;
pub mod units;

pub mod index;
pub mod isobmff;

mod codec;

mod aes128;
mod assemble;
mod cmaf;
mod edits;
mod frame_rate;
mod growth;
mod ladder;
mod layout;
mod media;
mod movie_header;
mod mux;
mod pair;
mod plan;
mod segments;
mod select;
mod timeline;
mod track;
mod track_file;
mod trick;
mod ts;

pub mod dash;
pub mod descriptor;
mod download;
mod facts;
mod forms;
pub mod hls;
mod presentation;
mod query;
mod rates;
mod resource;
mod selection;
mod view;

#[cfg(feature = "http")]
pub mod assets;
#[cfg(feature = "http")]
pub mod service;
#[cfg(feature = "http")]
pub mod source;

pub use aes128::{KeyLengthError, SegmentKey};
pub use choice::{Choice, Pick, SessionContent, SessionData};
pub use codec::{Coding, Colour, Protocol, Speakers, Supplemental, VideoRange};
pub use download::{Download, DownloadTracks, Wish};
pub use error::{Error, Result};
pub use facts::{Bucket, Facts, Gops, Span};
pub use forms::Forms;
pub use growth::Growth;
pub use identity::{LAYOUT_REVISION, ParseVersionError, SourceId, Version};
pub use index::{IndexBuilder, MediaIndex, Step};
pub use layout::{Layout, LayoutStep, Planned};
pub use limits::Limits;
pub use media::{Media, Options};
pub use pair::Pair;
pub use plan::{Map, Part, Plan, SourceRange};
pub use presentation::{Absent, Presentation};
pub use query::QueryError;
pub use report::{Note, NoteKind, Report};
pub use resource::Resource;
pub use role::Role;
pub use segments::{SegmentSpan, SegmentTable};
pub use selection::{Container, Selection};
pub use track::{Audio, ParseTrackIdError, Standing, Track, TrackId, TrackKind, TrackMedia, Video};
pub use ts::Program;
pub use units::{ByteRange, MediaTime, Timescale};

#[cfg(feature = "http")]
pub use assets::Assets;
#[cfg(feature = "http")]
pub use service::{Packager, ServiceLimits};
#[cfg(feature = "http")]
pub use source::{FileSource, MemorySource, Source};

//! CMAF tracks (ISO/IEC 23000-19): init segments and media segments as plans; and picture and
//! sound together in fragments of the same make.

mod init;
mod moof;
mod muxed;
mod segment;
mod sidx;

pub(crate) use init::{init, init_muxed};
pub(crate) use moof::Shape;
pub(crate) use muxed::{Lane as MuxedLane, muxed_len, muxed_segment};
pub(crate) use segment::{Cut, segment, segment_len};
pub(crate) use sidx::{Reference, sidx, sidx_len};

//! The ISO base media file format (ISO/IEC 14496-12): a lenient box walk, a reader for each box
//! that matters here, and writers for the boxes of CMAF output.
//!
//! Reading never copies more than a box holds, never recurses, and ignores what it does not know.
//! A reader answers `None` for a box that is cut short or contradicts itself; whether that is an
//! error is for the caller, who knows whether the box is needed.

mod cursor;
mod fourcc;
mod walk;

pub(crate) mod ctts;
pub(crate) mod dref;
pub(crate) mod elng;
pub(crate) mod elst;
pub(crate) mod esds;
pub(crate) mod hdlr;
pub(crate) mod kind;
pub(crate) mod mdhd;
pub(crate) mod mfra;
pub(crate) mod mvhd;
pub(crate) mod pasp;
pub(crate) mod sidx;
pub(crate) mod stco;
pub(crate) mod stsc;
pub(crate) mod stsd;
pub(crate) mod stss;
pub(crate) mod stsz;
pub(crate) mod stts;
pub(crate) mod tfdt;
pub(crate) mod tfhd;
pub(crate) mod tkhd;
pub(crate) mod trex;
pub(crate) mod trun;

pub(crate) mod write;

pub(crate) use cursor::Cursor;
pub use fourcc::FourCc;
pub(crate) use walk::{Budget, Child, Children, Header, Parsed, children};

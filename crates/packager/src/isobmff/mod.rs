//! The ISO base media file format (ISO/IEC 14496-12): a lenient box walk, a reader for each box
//! that matters here, and writers for the boxes of CMAF output.
//!
//! Reading never copies more than a box holds, never recurses, and ignores what it does not know.

mod fourcc;

pub use fourcc::FourCc;

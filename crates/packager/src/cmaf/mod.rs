//! CMAF tracks (ISO/IEC 23000-19): init segments and media segments as plans.

mod init;
mod segment;

pub(crate) use init::init;
pub(crate) use segment::{Cut, Shape, segment};

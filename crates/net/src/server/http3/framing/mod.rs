//! HTTP/3 as bytes: the frames of its streams (RFC 9114 §7), QPACK's field lines as far as a static
//! table goes (RFC 9204), what a request may say (RFC 9114 §4), and how urgent it is (RFC 9218).
//!
//! Promises: no I/O and no clock; memory bounded by the limits that are passed in, whatever comes;
//! time in proportion to the bytes that come.

pub(crate) mod code;
pub(crate) mod control;
pub(crate) mod frames;
pub(crate) mod head;
pub(crate) mod huffman;
pub(crate) mod integer;
pub(crate) mod priority;
pub(crate) mod qpack;
pub(crate) mod static_table;

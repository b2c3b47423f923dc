//! The origin shield of Headwater: it knows what a segment is
pub mod map;

//! The writer of boxes of the packager's tests: files that FFmpeg does not write, and heads of files
//! that are right where only what follows is tried.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it is written for tests, and not all of it is used here"
)]

#[path = "../../crates/packager/tests/kit/boxes.rs"]
pub(crate) mod boxes;
#[path = "../../crates/packager/tests/kit/fragments.rs"]
pub(crate) mod fragments;

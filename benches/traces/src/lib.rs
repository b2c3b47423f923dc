//! Synthetic video traffic for benches: who watches what, when, and which objects that asks for.
//!
//! The program of this crate, `cargo xtask bench traces`, puts it before caching policies; other
//! benches take [`traffic`] by itself, and say by [`bar`] what is promised of their figures.

pub mod bar;
pub mod traffic;

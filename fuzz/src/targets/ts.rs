//! MPEG-TS of a file: every segment is laid out and written, is as long as it says, and is whole
//! packets.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{Media, Options, Presentation, Program, Resource};

use super::plan::{lay_out, make};

/// Segments that are made, of each program.
const SEGMENTS: u32 = 40;

/// Bytes that are made, of each file.
const MADE: u64 = 8 << 20;

/// Presents the input and makes its transport streams.
pub(crate) fn run(input: &[u8]) {
    let file = Bytes::copy_from_slice(input);
    let Some(index) = super::index(&file) else { return };
    let Ok(media) = Media::new(vec![Arc::new(index)], &Options::default()) else { return };
    let presentation = Presentation::new("fuzzed", Arc::new(media));
    let mut made = 0;
    for name in ["v1a1", "v1", "a1"] {
        let Ok(program) = name.parse::<Program>() else { unreachable!("{name} is a program") };
        for number in (1..=SEGMENTS).filter_map(NonZeroU32::new) {
            let Some(planned) = presentation.plan(Resource::TsSegment(program, number)) else {
                break;
            };
            let Some(plan) = lay_out(planned, &file) else { continue };
            assert!(plan.len.is_multiple_of(188), "whole packets");
            made += make(&plan, &file);
            if made > MADE {
                return;
            }
        }
    }
}

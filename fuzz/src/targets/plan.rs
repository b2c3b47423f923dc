//! Everything that can be asked of a file: each resource is planned, laid out where it must be, and
//! made, and each plan is as long as it says.

use std::sync::Arc;

use bytes::Bytes;
use headwater_packager::{LayoutStep, Media, Options, Part, Plan, Planned, Presentation};

/// Resources that are made, of each file: a short file may hold very many samples of no bytes.
const RESOURCES: usize = 400;

/// Bytes that are made, of each file.
const MADE: u64 = 8 << 20;

/// Presents the input and makes what it offers.
pub(crate) fn run(input: &[u8]) {
    let file = Bytes::copy_from_slice(input);
    let Some(index) = super::index(&file) else { return };
    let Ok(media) = Media::new(vec![Arc::new(index)], &Options::default()) else { return };
    let presentation = Presentation::new("fuzzed", Arc::new(media));
    let mut made = 0;
    for resource in presentation.resources().take(RESOURCES) {
        let path = presentation.path(resource);
        assert_eq!(presentation.resource(&path), Ok(resource), "{path} has one spelling");
        let Some(planned) = presentation.plan(resource) else {
            unreachable!("{path} is offered and has no plan");
        };
        let Some(plan) = lay_out(planned, &file) else { continue };
        made += make(&plan, &file);
        if made > MADE {
            return;
        }
    }
}

/// Feeds a layout until it is a plan; `None` where the file does not hold what it must.
pub(super) fn lay_out(planned: Planned, file: &Bytes) -> Option<Plan> {
    let mut layout = match planned {
        Planned::Ready(plan) => return Some(plan),
        Planned::Layout(layout) => layout,
    };
    for _ in 0..super::MOST_ROUNDS {
        match layout.step().ok()? {
            LayoutStep::Done(plan) => return Some(plan),
            LayoutStep::Need(ranges) => {
                for wanted in ranges {
                    layout.feed(wanted, super::read(file, wanted.range)).ok()?;
                }
            }
        }
    }
    unreachable!("a layout that never ends");
}

/// Makes the bytes of a plan, and gives how many.
pub(super) fn make(plan: &Plan, file: &Bytes) -> u64 {
    let mut len = 0;
    for part in &plan.parts {
        match part {
            Part::Bytes(bytes) => len += bytes.len() as u64,
            Part::Copy(copy) => len += super::read(file, copy.range).len() as u64,
            Part::Map(map) => {
                let inputs: Vec<Bytes> =
                    map.inputs().iter().map(|input| super::read(file, input.range)).collect();
                let mut out = vec![0; map.len() as usize];
                map.write(&inputs, &mut out);
                len += out.len() as u64;
            }
            _ => {}
        }
    }
    assert_eq!(len, plan.len, "a plan is as long as it says");
    len
}

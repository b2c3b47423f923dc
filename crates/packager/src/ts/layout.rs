//! Counting NAL units before a segment's length is known, where their lengths are not as long as
//! start codes.

use bytes::Bytes;

use super::avc::Avc;
use super::segment::Draft;
use crate::error::{Error, Result};
use crate::layout::{LayoutMachine, LayoutStep};
use crate::plan::SourceRange;

/// How much is asked for at a time, in bytes; one sample may be more.
const STEP_BYTES: u64 = 1 << 20;

/// Reads the pictures of a segment, a mebibyte at a time, and keeps a number for each.
#[derive(Debug)]
pub(super) struct Counting {
    avc: Avc,
    draft: Option<Draft>,
    /// All pictures, in order.
    wanted: Vec<SourceRange>,
    /// How many of them were asked for.
    asked: usize,
    growth: Vec<usize>,
}

impl Counting {
    pub(super) fn new(avc: Avc, draft: Draft) -> Self {
        let wanted: Vec<_> = draft.unknown().collect();
        let growth = Vec::with_capacity(wanted.len());
        Self { avc, draft: Some(draft), wanted, asked: 0, growth }
    }
}

impl LayoutMachine for Counting {
    fn step(&mut self) -> Result<LayoutStep> {
        if self.growth.len() != self.asked {
            return Err(Error::UnexpectedBytes);
        }
        let rest = self.wanted.get(self.asked..).unwrap_or_default();
        if rest.is_empty() {
            let mut draft = self.draft.take().ok_or(Error::UnexpectedBytes)?;
            draft.grow(self.growth.drain(..));
            return Ok(LayoutStep::Done(draft.plan()));
        }
        let mut bytes = 0;
        let count = rest
            .iter()
            .take_while(|range| {
                let first = bytes == 0;
                bytes += range.range.len;
                first || bytes <= STEP_BYTES
            })
            .count();
        self.asked += count;
        Ok(LayoutStep::Need(rest.iter().take(count).copied().collect()))
    }

    fn feed(&mut self, range: SourceRange, bytes: Bytes) -> Result<()> {
        let expected =
            self.wanted.get(self.growth.len()).filter(|_| self.growth.len() < self.asked);
        if expected != Some(&range) || bytes.len() as u64 != range.range.len {
            return Err(Error::UnexpectedBytes);
        }
        self.growth.push(self.avc.growth(&bytes));
        Ok(())
    }
}

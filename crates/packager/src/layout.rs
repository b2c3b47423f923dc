//! Plans that depend on bytes of the source: what must be read first, and what comes of it.
//!
//! Most plans follow from the index alone. Where headers or lengths depend on what is in the
//! source (the `moof` boxes of a fragmented file, the NAL units of pictures whose sizes change on
//! the way), a [`Layout`] asks for those bytes first. It reads nothing itself.

use std::fmt;

use bytes::Bytes;

use crate::error::Result;
use crate::plan::{Plan, SourceRange};

/// How a resource will be answered.
#[derive(Debug)]
#[must_use]
pub enum Planned {
    /// By this plan.
    Ready(Plan),
    /// By the plan that comes of this layout, once bytes were read for it.
    Layout(Layout),
}

impl Planned {
    /// The plan, where nothing must be read for it.
    pub fn ready(self) -> Option<Plan> {
        match self {
            Self::Ready(plan) => Some(plan),
            Self::Layout(_) => None,
        }
    }
}

/// A plan in the making: a state machine that says which bytes it needs.
///
/// [`step`](Self::step), read what it asks for, [`feed`](Self::feed) each range once, and step
/// again. It ends after a bounded number of rounds, and gives the same plan on every machine.
#[derive(Debug)]
#[must_use]
pub struct Layout(Box<dyn LayoutMachine>);

/// What a [`Layout`] wants next.
#[derive(Debug)]
#[must_use]
pub enum LayoutStep {
    /// Read these ranges, feed each, then step again.
    Need(Vec<SourceRange>),
    /// Finished.
    Done(Plan),
}

impl Layout {
    /// The layout that a machine makes.
    pub(crate) fn new(machine: impl LayoutMachine + 'static) -> Self {
        Self(Box::new(machine))
    }

    /// Goes on with what was fed.
    ///
    /// # Errors
    /// What is wrong with the source; also [`Error::UnexpectedBytes`](crate::Error::UnexpectedBytes)
    /// where something that was asked for was not fed.
    pub fn step(&mut self) -> Result<LayoutStep> {
        self.0.step()
    }

    /// Takes the bytes of one range that was asked for, all of them.
    ///
    /// # Errors
    /// [`Error::UnexpectedBytes`](crate::Error::UnexpectedBytes) for any other range or length.
    pub fn feed(&mut self, range: SourceRange, bytes: Bytes) -> Result<()> {
        self.0.feed(range, bytes)
    }
}

/// The machine in a [`Layout`].
///
/// Implementers guarantee: what they ask for at a time is bounded (about a mebibyte, or one
/// sample), so are their rounds, and nothing of `bytes` is kept that is not needed in the plan: a
/// slice of it would hold a whole read buffer.
pub(crate) trait LayoutMachine: fmt::Debug + Send {
    /// See [`Layout::step`].
    fn step(&mut self) -> Result<LayoutStep>;
    /// See [`Layout::feed`].
    fn feed(&mut self, range: SourceRange, bytes: Bytes) -> Result<()>;
}

//! How far a long piece of work is, and the way to stop it.

use std::{ops::ControlFlow, time::Duration};

/// How much has been written, in time of the media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Media time that is encoded.
    pub done: Duration,
    /// Media time there will be, when the input says.
    pub total: Option<Duration>,
}

impl Progress {
    /// The part done, from 0 to 1; `None` when the whole is unknown.
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total?.as_secs_f64();
        (total > 0.0).then(|| (self.done.as_secs_f64() / total).clamp(0.0, 1.0))
    }
}

/// What is called at least once in ten pictures, and when the file is complete.
/// `ControlFlow::Break(())` stops the work with [`Error::Stopped`](crate::Error::Stopped) and
/// leaves no file behind; after the last call it is too late.
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

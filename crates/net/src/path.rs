//! How the way to a client does: what a service may go by that has a choice of how much to send.

use std::fmt;
use std::time::Duration;

/// What a connection's congestion control makes of its path at a moment: quinn's, or the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// The smoothed round-trip time (RFC 9002 §5.3, RFC 6298 §2).
    pub rtt: Duration,
    /// The congestion window in bytes (RFC 9002 §7, RFC 5681 §3.1): what may be on its way
    /// unacknowledged.
    pub window: u64,
}

impl Path {
    /// Bytes a second that the window lets through: an estimate from above, which nobody has
    /// measured while less was sent.
    pub fn rate(&self) -> u64 {
        let micros = self.rtt.as_micros().max(1);
        let rate = u128::from(self.window).saturating_mul(1_000_000) / micros;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// A connection that knows its path.
pub(crate) trait KnowsPath: fmt::Debug + Send + Sync {
    /// As it is now; `None` where it is not known, or no longer.
    fn path(&self) -> Option<Path>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_a_window_in_each_round_trip() {
        let path = |micros, window| Path { rtt: Duration::from_micros(micros), window }.rate();
        assert_eq!(path(50_000, 1_000_000), 20_000_000);
        assert_eq!(path(0, 5), 5_000_000);
        assert_eq!(path(1, u64::MAX), u64::MAX);
    }
}

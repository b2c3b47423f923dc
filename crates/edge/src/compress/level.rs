//! How much time a text is worth, and what that means to each coding: gzip (RFC 1952), brotli
//! (RFC 7932) and zstd (RFC 8878) count their levels in ways of their own. What each costs and wins on
//! manifests was measured (`docs/results/compress.md`); higher ones are left out, since they take up to
//! 200 ms for one playlist, in which a worker answers nobody, and tens of MiB.

use headwater_net::encoding::Coding;
use tower_http::CompressionLevel;

/// Whether a text is made smaller quickly or well. It is done once for each coding, on the thread of
/// the worker that asked, so that time counts for what lives a second, and size for what many fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// In the least time.
    Fast,
    /// So well that more time would win little.
    #[default]
    Balanced,
    /// As small as it gets before a single text would hold up the worker: some milliseconds, and 10 MiB
    /// of memory until it is done.
    Small,
}

impl Level {
    /// What the coding's own encoder calls it.
    pub(super) const fn of(self, coding: Coding) -> CompressionLevel {
        let [fast, balanced, small] = match coding {
            Coding::Brotli => [1, 5, 7],
            Coding::Zstd => [1, 1, 7],
            _ => [1, 6, 9],
        };
        CompressionLevel::Precise(match self {
            Self::Fast => fast,
            Self::Balanced => balanced,
            Self::Small => small,
        })
    }
}

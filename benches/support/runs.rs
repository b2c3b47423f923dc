//! How long a bench of something that takes microseconds runs.

use std::time::Duration;

use criterion::Criterion;

/// Enough samples for a mean that holds, in under three seconds a line; the command line may say
/// otherwise.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

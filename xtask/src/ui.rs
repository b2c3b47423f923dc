//! What people see: lines, headings, elapsed time.
//!
//! Output that nobody reads any more (`cargo xtask --help | head -1`) is no error.

use std::io::{self, Write};
use std::time::Duration;

/// One line on standard output.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// The sentence a failed command ends with, on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

/// The title of a step.
pub(crate) fn heading(text: &str) {
    line(&format!("\n=== {text}"));
}

/// A duration as people say it: `0.4 s`, `12.3 s`, `7 min 05 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        assert_eq!(elapsed(Duration::from_millis(440)), "0.4 s");
        assert_eq!(elapsed(Duration::from_secs(425)), "7 min 05 s");
    }
}

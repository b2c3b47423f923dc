//! Sizes and times as people write them: `"64 MiB"`, `"10 s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text;

/// A number of bytes, written with its unit: `B`, `KiB`, `MiB`, `GiB`, `TiB`, or `kB`, `MB`, `GB`,
/// `TB` of powers of ten. Written out in the largest binary unit that is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A length of time, written with its unit: `ms`, `s`, `min`, `h`, `d`. To the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

/// Units from the largest; those after the first [`BINARY`] are only read.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];
const BINARY: usize = 5;

const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Time {
    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A number and one of `units`; `None` for anything else, and for what is too large.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() && number == 0 {
        return Some(0);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = units.iter().find(|(_, factor)| value.is_multiple_of(*factor) && value > 0);
    match exact.or(units.last()) {
        Some((name, factor)) => write!(f, "{} {name}", value / factor),
        None => Ok(()),
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &SIZES).map(Self).ok_or_else(|| {
            let meant = match meant(text, &[("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("t", "TiB")])
            {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => "a size is a number and B, KiB, MiB, GiB or TiB, such as '64 MiB'".into(),
            };
            format!("'{text}' is no size; {meant}")
        })
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &TIMES).map(Self).ok_or_else(|| {
            let meant = match meant(text, &[("m", "min"), ("sec", "s"), ("", "s"), ("days", "d")]) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => "a time is a number and ms, s, min, h or d, such as '10 s'".into(),
            };
            format!("'{text}' is no time; {meant}")
        })
    }
}

/// What somebody used to other programs means.
fn meant(text: &str, units: &[(&str, &str)]) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
    let unit = unit.trim();
    let (_, meant) = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    Some(format!("{number} {meant}"))
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, SIZES.get(..BINARY).unwrap_or(&SIZES))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &TIMES)
    }
}

text::as_text!(Size, "a size such as \"64 MiB\"");
text::as_text!(Time, "a time such as \"10 s\"");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn sizes_and_times_are_read_and_written() {
        for (text, bytes, written) in [
            ("64 MiB", 64 << 20, "64 MiB"),
            ("64MiB", 64 << 20, "64 MiB"),
            ("1024 KiB", 1 << 20, "1 MiB"),
            ("1 MB", 1_000_000, "1000000 B"),
            ("0", 0, "0 B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, written), "{text}");
        }
        for (text, millis, written) in
            [("90 s", 90_000, "90 s"), ("60 s", 60_000, "1 min"), ("250ms", 250, "250 ms")]
        {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.0, time.to_string().as_str()), (millis, written), "{text}");
        }
        assert_eq!(Time::default().to_string(), "0 ms");
    }

    #[test]
    fn what_is_none_is_refused_with_what_was_meant() {
        let size = |text: &str| text.parse::<Size>().unwrap_err();
        assert_eq!(size("10m"), "'10m' is no size; did you mean '10 MiB'?");
        assert!(size("a lot").contains("such as '64 MiB'"));
        assert!(size("17000000 TiB").contains("is no size"), "too large");
        let time = |text: &str| text.parse::<Time>().unwrap_err();
        assert_eq!(time("5m"), "'5m' is no time; did you mean '5 min'?");
        assert_eq!(time("10"), "'10' is no time; did you mean '10 s'?");
        assert!(time("10 parsecs").contains("such as '10 s'"));
        assert!(time("-1 s").contains("is no time"));
    }
}

//! `traceparent` (W3C Trace Context, §3.2): which trace a request belongs to, and which span it is a
//! part of.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the systems on the way add for themselves (§3.3): of no use without the other.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace: u128,
    /// The span that the request is a part of; never zero.
    pub span: u64,
    /// Whether who sent it records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// What a request says; `None` where it says nothing, says it twice, or says what is none (§3.2.2
    /// and §4.3: a trace begins anew then).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        match values.next() {
            Some(_) => None,
            None => Self::parse(value.as_bytes()),
        }
    }

    /// Reads version 00, and of later versions what they have in common with it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(55)?;
        let version = hex(known.get(..2)?)?;
        let dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        let trace = hex(known.get(3..35)?)?;
        let span = u64::try_from(hex(known.get(36..52)?)?).ok()?;
        let flags = hex(known.get(53..55)?)?;
        (dashes && ends && trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }

    /// As the field's value.
    pub fn to_value(self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, sampled } = *self;
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled))
    }
}

/// A number of lower-case hexadecimal digits, of which there are at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_own_example_is_read_and_written() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span, context.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), GOOD);
        let later = GOOD.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(TraceContext::parse(later.as_bytes()), Some(context));
        let off = TraceContext::parse(GOOD.replace("-01", "-00").as_bytes()).unwrap();
        assert!(!off.sampled);
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in [
            String::new(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            format!("{GOOD}-x"),
            format!("{GOOD} "),
            GOOD.replacen("00", "cc", 1) + "x",
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "_01"),
            GOOD.replace("-01", "-0g"),
        ] {
            assert_eq!(TraceContext::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(TraceContext::of(&twice).is_some());
        twice.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(TraceContext::of(&twice).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceContext::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool) {
            let context = TraceContext { trace, span, sampled };
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
        }
    }
}

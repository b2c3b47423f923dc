//! From when until when a certificate is valid (RFC 5280 §4.1.2.5), read from its DER.
//!
//! Only the way there is read: what stands before and after is somebody else's to check.

use crate::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version, which the oldest certificates leave out.
const VERSION: u8 = 0xa0;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    /// Reads that of a certificate in DER; `None` where it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (mut rest, _) = expect(SEQUENCE, certificate)?;
        if rest.first() == Some(&VERSION) {
            rest = element(rest)?.2;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (times, _) = expect(SEQUENCE, rest)?;
        let (kind, from, rest) = element(times)?;
        let from = time(kind, from)?;
        let (kind, until, _) = element(rest)?;
        Some(Self { from, until: time(kind, until)? })
    }
}

/// The first element of `bytes`: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // No certificate is as long as four bytes may say.
        if length.is_empty() || length.len() > 3 {
            return None;
        }
        (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The content of the first element, which has this tag, and what follows.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (§4.1.2.5.1 and §4.1.2.5.2); what is before 1970 is 1970.
fn time(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match kind {
        UTC_TIME if digits.len() == 12 => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME if digits.len() == 14 => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(number);
    let mut next = |from, to| parts.next()?.filter(|part| (from..=to).contains(part));
    let (month, day) = (next(1, 12)?, next(1, 31)?);
    let (hour, minute, second) = (next(0, 23)?, next(0, 59)?, next(0, 60)?);
    // Days since 1970 of a year that begins in March, so that leap days come last.
    let march = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = march * 365 + march / 4 - march / 100 + march / 400 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn rfc_5280_4_1_2_5_both_kinds_of_time_are_read() {
        let validity = Validity::of(&made((2026, 2, 28), (2028, 3, 1))).unwrap();
        assert_eq!(validity.from, Timestamp::from_secs(1_772_236_800));
        assert_eq!(validity.until, Timestamp::from_secs(1_835_481_600));
        // From 2050 on, times are written with four digits.
        let validity = Validity::of(&made((1970, 1, 1), (2100, 12, 31))).unwrap();
        assert_eq!(validity.from, Timestamp::from_secs(0));
        assert_eq!(validity.until, Timestamp::from_secs(4_133_894_400));
        assert_eq!(time(UTC_TIME, b"500101000000Z"), Some(Timestamp::from_secs(0)));
        for bad in [&b"260229"[..], b"261301000000Z", b"26010100000xZ", b"260101000000"] {
            assert_eq!(time(UTC_TIME, bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(at in 0usize..400, to: u8, cut in 0usize..400, any: Vec<u8>) {
            let _ = Validity::of(&any);
            let mut bytes = made((2026, 1, 1), (2027, 1, 1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut);
            let _ = Validity::of(&bytes);
        }
    }
}

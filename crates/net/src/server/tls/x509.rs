//! What is read from a certificate's DER (RFC 5280 §4.1) beyond what the TLS library tells: from when
//! until when it is valid (§4.1.2.5), and by what an authority knows it again: its serial number
//! (§4.1.2.2) with the name of the key that signed it (§4.2.1.1).
//!
//! Only the way there is read: what stands beside it is somebody else's to check.

use crate::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version, which the oldest certificates leave out.
const VERSION: u8 = 0xa0;
/// `[3]`, the extensions.
#[cfg(feature = "acme")]
const EXTENSIONS: u8 = 0xa3;
#[cfg(feature = "acme")]
const OCTETS: u8 = 0x04;
/// `[0]`, the identifier of the signing key (RFC 5280 §4.2.1.1).
#[cfg(feature = "acme")]
const KEY_IDENTIFIER: u8 = 0x80;
/// The extension that tells of the signing key, 2.5.29.35.
#[cfg(feature = "acme")]
const AUTHORITY_KEY: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x23];

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Validity {
    pub(in crate::server) from: Timestamp,
    pub(in crate::server) until: Timestamp,
}

impl Validity {
    /// Reads that of a certificate in DER; `None` where it is none.
    pub(in crate::server) fn of(certificate: &[u8]) -> Option<Self> {
        let mut rest = from_serial(certificate)?;
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

/// By what an authority knows a certificate of its own again (RFC 9773 §4.1): the identifier of the
/// key that signed it, and its serial number, both as its DER has them. `None` where it does not say.
#[cfg(feature = "acme")]
pub(in crate::server) fn known_by(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, serial, mut rest) = element(from_serial(certificate)?)?;
    let mut extensions = loop {
        let (tag, content, after) = element(rest)?;
        if tag == EXTENSIONS {
            break expect(SEQUENCE, content)?.0;
        }
        rest = after;
    };
    loop {
        let (extension, after) = expect(SEQUENCE, extensions)?;
        if let Some(mut value) = extension.strip_prefix(AUTHORITY_KEY) {
            // Whether it is critical may stand between.
            let held = loop {
                let (tag, content, after) = element(value)?;
                if tag == OCTETS {
                    break content;
                }
                value = after;
            };
            let (key, _) = expect(KEY_IDENTIFIER, expect(SEQUENCE, held)?.0)?;
            return Some((key, serial));
        }
        extensions = after;
    }
}

/// What a certificate says from its serial number on.
fn from_serial(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (rest, _) = expect(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) { Some(element(rest)?.2) } else { Some(rest) }
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

    #[cfg(feature = "acme")]
    #[test]
    fn rfc_9773_4_1_a_certificate_is_known_by_its_signer_and_serial_number() {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.key_identifier_method =
            rcgen::KeyIdMethod::PreSpecified(vec![0x69, 0x88, 0x5b, 0x6b]);
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        // As the DER has the number: with a zero before it, since it is not negative.
        let expected = (&[0x69, 0x88, 0x5b, 0x6b][..], &[0, 0x87, 0x65, 0x43, 0x21][..]);
        assert_eq!(known_by(signed.der()), Some(expected));
        // One that names no signer.
        assert_eq!(known_by(&made((2026, 1, 1), (2027, 1, 1))), None);
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
            #[cfg(feature = "acme")]
            let _ = (known_by(&bytes), known_by(&any));
        }
    }
}

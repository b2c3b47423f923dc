//! Integers: those of variable length of QUIC and HTTP/3 (RFC 9000 §16), and those with a prefix of
//! QPACK (RFC 7541 §5.1).

/// The integer (RFC 9000 §16) that the bytes begin with, when it is all there, and what follows it.
pub(crate) fn read_var_int(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x40 {
        return Some((u64::from(first), rest));
    }
    let (more, rest) = rest.split_at_checked((1 << (first >> 6)) - 1)?;
    let value =
        more.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
    Some((value, rest))
}

/// Writes an integer in the shortest form that holds it (RFC 9000 §16); what is larger than 62 bits
/// loses the rest.
pub(crate) fn put_var_int(out: &mut Vec<u8>, value: u64) {
    let (form, size) = match value {
        0..0x40 => (0u64, 1),
        0x40..0x4000 => (0x4000, 2),
        0x4000..0x4000_0000 => (0x8000_0000, 4),
        _ => (0xc000_0000_0000_0000, 8),
    };
    out.extend_from_slice(&(value | form).to_be_bytes()[8 - size..]);
}

/// The longest continuation of an integer with a prefix that is read: 62 bits of value (RFC 9204
/// §4.1.1).
const CONTINUATION: usize = 9;

/// The integer in the low `prefix` bits of the first byte and, where they are all set, the bytes
/// after it (RFC 7541 §5.1); and what follows. `None` where it is cut short or too large.
pub(crate) fn read_prefixed(bytes: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let full = (1usize << prefix) - 1;
    let value = usize::from(first) & full;
    if value < full {
        return Some((value, rest));
    }
    let mut value = full as u64;
    for (at, &byte) in rest.iter().take(CONTINUATION).enumerate() {
        value = value.checked_add(u64::from(byte & 0x7f).checked_shl(7 * at as u32)?)?;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, rest.get(at + 1..)?));
        }
    }
    None
}

/// Writes an integer in the low `prefix` bits of `first` and, where it is larger, the bytes after it
/// (RFC 7541 §5.1).
#[inline]
pub(crate) fn put_prefixed(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let full = (1usize << prefix) - 1;
    if value < full {
        out.push(first | value as u8);
    } else {
        put_long(out, first | full as u8, value - full);
    }
}

/// One that fills its prefix, and what is left of it.
fn put_long(out: &mut Vec<u8>, first: u8, mut rest: usize) {
    out.push(first);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn rfc_9000_a_1_integers_of_every_length() {
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        for (bytes, value) in [
            (&long[..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(read_var_int(&[bytes, &[7]].concat()), Some((value, &[7][..])));
            let mut out = Vec::new();
            put_var_int(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(read_var_int(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn rfc_7541_c_1_integers_with_a_prefix() {
        for (prefix, value, bytes) in [
            (5, 10, &[0x0a][..]),
            (5, 1337, &[0x1f, 0x9a, 0x0a]),
            (8, 42, &[42]),
            (3, 7, &[7, 0]),
            (7, (1 << 62) - 1, &[0x7f, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]),
        ] {
            assert_eq!(read_prefixed(&[bytes, &[9]].concat(), prefix), Some((value, &[9][..])));
            let mut out = Vec::new();
            put_prefixed(&mut out, 0, prefix, value);
            assert_eq!(out, bytes);
            assert_eq!(read_prefixed(&bytes[..bytes.len() - 1], prefix), None);
        }
        let endless = [&[0xff][..], &[0x80; 20], &[0]].concat();
        assert_eq!(read_prefixed(&endless, 8), None);
    }
}

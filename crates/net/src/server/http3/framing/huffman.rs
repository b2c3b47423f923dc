//! Huffman's code for the strings of QPACK (RFC 7541 §5.2, appendix B; RFC 9204 §4.1.2).
//!
//! The code is canonical: what each symbol is coded as follows from the lengths alone. Codes of at
//! most [`FIRST`] bits, which is nearly all of any URL, are found by one look into a table; a
//! longer one by the first code of its length.

/// Bits in the code of each symbol; the last is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, //
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, //
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, //
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, //
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, //
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, //
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, //
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, //
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, //
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30, //
];

/// The symbol that no string may hold.
const EOS: u16 = 256;
/// The longest code.
const LONGEST: u32 = 30;
/// The bits by which codes are looked up.
const FIRST: u32 = 9;
/// The shortest code: no byte of input makes more than 8/5 bytes of output.
const SHORTEST: usize = 5;

const TABLES: Tables = Tables::new();
static BY_FIRST: [(u8, u8); 1 << FIRST] = TABLES.by_first;
static LONG: Long = TABLES.long;

struct Tables {
    /// Symbol and length of the code that these bits begin with; length 0 where it is longer.
    by_first: [(u8, u8); 1 << FIRST],
    long: Long,
}

struct Long {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: its first code, how many there are, and where they begin in `symbols`.
    lengths: [(u32, u32, u32); LONGEST as usize + 1],
}

impl Tables {
    const fn new() -> Self {
        let mut by_first = [(0, 0); 1 << FIRST];
        let mut symbols = [0; 257];
        let mut lengths = [(0, 0, 0); LONGEST as usize + 1];
        let (mut code, mut at, mut length) = (0u32, 0usize, 1u32);
        while length <= LONGEST {
            code <<= 1;
            let (first_code, first_at) = (code, at);
            let mut symbol = 0;
            while symbol < 257 {
                if LENGTHS[symbol] as u32 == length {
                    symbols[at] = symbol as u16;
                    if length <= FIRST {
                        let from = (code << (FIRST - length)) as usize;
                        let mut fill = 0;
                        while fill < 1 << (FIRST - length) {
                            by_first[from + fill] = (symbol as u8, length as u8);
                            fill += 1;
                        }
                    }
                    code += 1;
                    at += 1;
                }
                symbol += 1;
            }
            lengths[length as usize] = (first_code, (at - first_at) as u32, first_at as u32);
            length += 1;
        }
        Self { by_first, long: Long { symbols, lengths } }
    }
}

/// The most bytes that a coded string of `len` bytes can stand for.
pub(crate) const fn longest_decoded(len: usize) -> usize {
    len * 8 / SHORTEST
}

/// Decodes a string into `out`, which has room for [`longest_decoded`] of it, and says how many bytes
/// it wrote. `None` where the string is none: it holds EOS, or its padding is longer than seven bits
/// or not all ones (RFC 7541 §5.2).
pub(crate) fn decode(coded: &[u8], out: &mut [u8]) -> Option<usize> {
    // The next bits, from the top; `have` of them are real, what follows is zeros.
    let (mut bits, mut have) = (0u64, 0u32);
    let mut coded = coded.iter();
    let mut written = 0;
    loop {
        while have <= 56 {
            let Some(&byte) = coded.next() else { break };
            bits |= u64::from(byte) << (56 - have);
            have += 8;
        }
        let (mut symbol, mut length) = BY_FIRST[(bits >> (64 - FIRST)) as usize];
        if length == 0 {
            let (long, its) = long_code(bits)?;
            if u32::from(its) <= have {
                symbol = u8::try_from(long).ok()?;
            }
            length = its;
        }
        if u32::from(length) > have {
            // The padding is the beginning of EOS: ones. There is always a code that long.
            let is_ones = bits == !(u64::MAX.checked_shr(have).unwrap_or(0));
            return (have < 8 && is_ones).then_some(written);
        }
        *out.get_mut(written)? = symbol;
        written += 1;
        bits <<= length;
        have -= u32::from(length);
    }
}

/// The symbol whose code the bits begin with, among the long ones, and its length.
fn long_code(bits: u64) -> Option<(u16, u8)> {
    for length in FIRST + 1..=LONGEST {
        let (first, count, at) = *LONG.lengths.get(length as usize)?;
        let offset = ((bits >> (64 - length)) as u32).wrapping_sub(first);
        if offset < count {
            let symbol = *LONG.symbols.get((at + offset) as usize)?;
            return Some((symbol, length as u8));
        }
    }
    // Every pattern of thirty bits begins with some code.
    Some((EOS, LONGEST as u8))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; longest_decoded(coded.len())];
        let len = decode(coded, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    /// Codes a string, slowly.
    pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for &byte in text {
            let length = u32::from(LENGTHS[usize::from(byte)]);
            let (first, _, at) = LONG.lengths[length as usize];
            let place = LONG.symbols.iter().position(|&symbol| symbol == u16::from(byte)).unwrap();
            let code = first + (place as u32 - at);
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |all, &bit| all << 1 | u8::from(bit)))
            .collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|digit| digit.to_digit(16))
            .map(|digit| u8::try_from(digit).unwrap())
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn rfc_7541_c_4_and_c_6_strings() {
        for (coded, text) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5ba9 7d7f", "custom-key"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("6402", "302"),
            ("aec3 771a 4b", "private"),
            (
                "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"),
            ("640e ff", "307"),
            ("9bd9 ab", "gzip"),
            (
                "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 \
                 3160 65c0 03ed 4ee5 b106 3d50 07",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            assert_eq!(decoded(&hex(coded)).as_deref(), Some(text.as_bytes()), "{text}");
            assert_eq!(encode(text.as_bytes()), hex(coded), "{text}");
        }
    }

    #[test]
    fn rfc_7541_5_2_padding_is_short_and_all_ones() {
        assert_eq!(decoded(&[]), Some(vec![]));
        // `0` is five zeros, and three ones of padding.
        assert_eq!(decoded(&[0b0000_0111]), Some(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), None);
        assert_eq!(decoded(&[0b0000_0111, 0xff]), None, "eleven bits");
        assert_eq!(decoded(&[0xff]), None, "eight bits");
        // EOS, alone and within.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decoded(&[0x07, 0xff, 0xff, 0xff, 0xff, 0x07]), None);
    }

    proptest! {
        #[test]
        fn what_was_coded_comes_back(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }

        /// There is one code for each string, so that what is read twice means the same.
        #[test]
        fn any_bytes_are_one_string_or_none(coded: Vec<u8>) {
            if let Some(text) = decoded(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}

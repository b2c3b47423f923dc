//! Numbers and dates as text, without the machinery of `format!`: a line has a dozen of them.

use bytes::BufMut;
use headwater_net::Timestamp;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A number in decimal, with zeros before it up to `width` digits. There has to be room for it.
pub(crate) fn decimal(out: &mut impl BufMut, mut number: u64, width: usize) {
    // The longest has twenty digits.
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && count >= width {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
    }
    out.put_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// RFC 3339 §5.6 in UTC with milliseconds: `2026-11-23T15:03:04.007Z`.
pub(super) fn rfc_3339(out: &mut Vec<u8>, time: Timestamp) {
    let Civil { year, month, day, hour, minute, second } = Civil::of(time);
    if year > 9999 {
        // The clock is wrong, and its year has more digits than the format has room for.
        return out.extend_from_slice(b"9999-12-31T23:59:59.999Z");
    }
    let [century, year] = [year / 100, year % 100].map(two);
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(two);
    let millis = time.as_millis() % 1000;
    let [tenths, last] = [two(millis / 10), two(millis % 10)];
    out.extend_from_slice(&[
        century[0], century[1], year[0], year[1], b'-', month[0], month[1], b'-', day[0], day[1],
        b'T', hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1], b'.',
        tenths[0], tenths[1], last[1], b'Z',
    ]);
}

/// A number below a hundred in two digits.
const fn two(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// The date of the common log format, in UTC: `23/Nov/2026:15:03:04 +0000`.
pub(super) fn common(out: &mut Vec<u8>, time: Timestamp) {
    let Civil { year, month, day, hour, minute, second } = Civil::of(time);
    decimal(out, day, 2);
    out.push(b'/');
    let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    out.extend_from_slice(name.map_or(b"???", |name| *name));
    for (before, number, width) in
        [(b'/', year, 4), (b':', hour, 2), (b':', minute, 2), (b':', second, 2)]
    {
        out.push(before);
        decimal(out, number, width);
    }
    out.extend_from_slice(b" +0000");
}

/// A moment by calendar and clock, in UTC.
struct Civil {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    fn of(time: Timestamp) -> Self {
        let secs = time.as_secs();
        let (days, second) = (secs / 86_400, secs % 86_400);
        // Days since 0000-03-01, by eras of 400 years of 146,097 days.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn written(by: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        by(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_rfc_3339_and_those_of_the_common_format() {
        for (millis, text, common_text) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z", "28/Feb/2000:23:59:59 +0000"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "29/Feb/2000:00:00:00 +0000"),
            (1_795_446_184_007, "2026-11-23T15:03:04.007Z", "23/Nov/2026:15:03:04 +0000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "01/Mar/2100:00:00:00 +0000"),
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(written(|out| rfc_3339(out, time)), text);
            assert_eq!(written(|out| common(out, time)), common_text);
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for (number, width, text) in
            [(0, 1, "0"), (7, 3, "007"), (1_234, 2, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            assert_eq!(written(|out| decimal(out, number, width)), text);
        }
    }
}

//! When the periods of an MPD are, and when it all began (ISO/IEC 23009-1 §5.3.1.2, §5.3.2.1).

use std::time::Duration;

use quick_xml::events::Event;

use super::super::MapError;
use super::{attribute, walk};

/// The most periods.
const MAX_PERIODS: usize = 1024;

/// What the presentation says of its times.
pub(super) struct Times {
    pub(super) periods: Vec<Period>,
    /// How often it changes, where it does.
    pub(super) update: Option<Duration>,
    /// When it began, in microseconds since 1970, where it comes with time.
    pub(super) epoch: Option<u64>,
}

/// Of a period, when it starts and how long it is, in microseconds, where that is known.
#[derive(Clone, Copy, Default)]
pub(super) struct Period {
    pub(super) start: Option<u64>,
    pub(super) length: Option<u64>,
}

/// When each period starts and how long it is: of its own length, up to the next one's start, or up to
/// the end of the presentation (§5.3.2.1). One of type `dynamic` comes with time, and with an update
/// period it goes on (§5.3.1.2).
pub(super) fn times(text: &str) -> Result<Times, MapError> {
    let (mut total, mut update, mut epoch) = (None, None, None);
    let mut periods: Vec<(Option<u64>, Option<u64>)> = Vec::new();
    walk(text, |event| {
        if let Event::Start(element) = event {
            let micros =
                |name| Ok::<_, MapError>(attribute(&element, name)?.as_deref().and_then(duration));
            match element.local_name().as_ref() {
                "MPD" => {
                    total = micros("mediaPresentationDuration")?;
                    let dynamic = attribute(&element, "type")?.as_deref() == Some("dynamic");
                    update = micros("minimumUpdatePeriod")?.filter(|_| dynamic);
                    let begins = attribute(&element, "availabilityStartTime")?;
                    epoch = begins.as_deref().and_then(date_time).filter(|_| dynamic);
                }
                "Period" if periods.len() < MAX_PERIODS => {
                    periods.push((micros("start")?, micros("duration")?));
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    let mut lengths = Vec::with_capacity(periods.len());
    let mut at = Some(0u64);
    for (i, (start, length)) in periods.iter().enumerate() {
        at = start.or(at);
        let next = periods.get(i + 1).map_or(total, |(start, _)| *start);
        let length = length.or_else(|| next?.checked_sub(at?));
        lengths.push(Period { start: at, length });
        at = at.and_then(|at| at.checked_add(length?));
    }
    Ok(Times { periods: lengths, update: update.map(Duration::from_micros), epoch })
}

/// An `xs:duration` in microseconds; what is finer is cut off. Years and months, whose length
/// varies, are not taken.
fn duration(text: &str) -> Option<u64> {
    const DATE: &[(char, u64)] = &[('D', 86_400_000_000)];
    const TIME: &[(char, u64)] = &[('H', 3_600_000_000), ('M', 60_000_000), ('S', 1_000_000)];
    let text = text.trim().strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut total = 0u64;
    for (mut rest, units) in [(date, DATE), (time, TIME)] {
        for &(letter, unit) in units {
            let Some((value, after)) = rest.split_once(letter) else { continue };
            rest = after;
            total = total.checked_add(decimal(value, unit)?)?;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(total)
}

/// A decimal number of units; what is finer is cut off.
pub(super) fn decimal(text: &str, mut unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut total = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    for digit in fraction.chars() {
        unit /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?).checked_mul(unit)?)?;
    }
    Some(total)
}

/// An `xs:dateTime` in microseconds since 1970, by UTC where it names no zone; `None` before 1970.
fn date_time(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = decimal(parts.next()?, 1_000_000)?;
    let fits = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hours < 25
        && minutes < 60
        && seconds < 61_000_000;
    if !fits {
        return None;
    }
    // Days since 1970 by the calendar whose year begins in March: its leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let local = (days * 86_400 + hours * 3600 + minutes * 60).checked_mul(1_000_000)? + seconds;
    let zone = zone.trim_start_matches('Z');
    let Some((hours, minutes)) = zone.get(1..).and_then(|zone| zone.split_once(':')) else {
        return zone.is_empty().then_some(local);
    };
    let (hours, minutes) = (hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?);
    let offset = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60_000_000)?;
    if zone.starts_with('+') { local.checked_sub(offset) } else { local.checked_add(offset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_their_zone() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
            ("2024-03-01T00:30:00", Some(1_709_253_000)),
            ("2024-03-01T02:00:00+01:30", Some(1_709_253_000)),
            ("2024-02-29T20:30:00-04:00", Some(1_709_253_000)),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T00:00:00+1", None),
            ("2024-01-01", None),
            ("T", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
        ] {
            assert_eq!(date_time(text), seconds.map(|s: u64| s * 1_000_000), "{text}");
        }
        assert_eq!(date_time("1970-01-01T00:00:01.25Z"), Some(1_250_000));
    }

    #[test]
    fn durations_are_exact_to_the_microsecond() {
        assert_eq!(duration("P1DT1H1M1.000001S"), Some(90_061_000_001));
        assert_eq!(duration("PT12.0004S"), Some(12_000_400));
        assert_eq!(duration("P1Y"), None);
        assert_eq!(duration("PT99999999999999999H"), None);
    }
}

//! The simple types of the MPD schema (ISO/IEC 23009-1 Annex B; XML Schema part 2).

/// `xs:duration` in seconds; years and months are no part of media times.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let rest = text.trim().strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let days = parts(days, &[('D', 86_400.0)], false)?;
    let time = parts(time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)], true)?;
    Some(days + time)
}

/// Numbers with designators in a fixed order; only seconds may have a fraction.
fn parts(text: &str, designators: &[(char, f64)], fraction: bool) -> Option<f64> {
    let (mut rest, mut sum) = (text, 0.0);
    for (designator, seconds) in designators {
        let Some((number, after)) = rest.split_once(*designator) else { continue };
        let integer = number.bytes().all(|byte| byte.is_ascii_digit());
        let decimal = fraction
            && *designator == 'S'
            && number.split_once('.').is_some_and(|(whole, part)| {
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                !whole.is_empty() && digits(whole) && !part.is_empty() && digits(part)
            });
        if number.is_empty() || !(integer || decimal) {
            return None;
        }
        sum += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    rest.is_empty().then_some(sum)
}

/// `FrameRateType`, as frames a second.
pub(crate) fn frame_rate(text: &str) -> Option<f64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (frames, seconds) = text.split_once('/').unwrap_or((text, "1"));
    if !digits(frames) || !digits(seconds) || seconds.starts_with('0') {
        return None;
    }
    let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    (rate > 0.0).then_some(rate)
}

/// `RatioType`, with both numbers there.
pub(crate) fn ratio(text: &str) -> Option<(u64, u64)> {
    let (x, y) = text.split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(x) || !digits(y) {
        return None;
    }
    Some((x.parse().ok()?, y.parse().ok()?)).filter(|(x, y)| *x > 0 && *y > 0)
}

/// `first-last`, as a range that ends after the last byte.
pub(crate) fn byte_range(text: &str) -> Option<std::ops::Range<u64>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// `xs:dateTime`, by its form.
pub(crate) fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let numbers = |text: &str, separator, sizes: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        parts.len() == sizes.len()
            && parts.iter().zip(sizes).all(|(part, size)| {
                part.len() == *size && part.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    let clock = time.strip_suffix('Z').unwrap_or(time);
    let clock = clock.rsplit_once(['+', '-']).map_or(clock, |(clock, _)| clock);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    numbers(date, '-', &[4, 2, 2])
        && numbers(clock, ':', &[2, 2, 2])
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_by_the_letter() {
        for (text, seconds) in [
            ("PT6S", Some(6.0)),
            ("PT1H2M3.5S", Some(3723.5)),
            ("P1DT1S", Some(86_401.0)),
            ("P2D", Some(172_800.0)),
            ("6", None),
            ("PT", None),
            ("P", None),
            ("PT6", None),
            ("PT1.5M", None),
            ("PT-1S", None),
            ("PT1S2M", None),
        ] {
            assert_eq!(duration(text), seconds, "{text}");
        }
    }

    #[test]
    fn rates_ratios_ranges_and_dates() {
        assert_eq!(frame_rate("30000/1000"), Some(30.0));
        assert_eq!(frame_rate("25.0"), None);
        assert_eq!(ratio("16:9"), Some((16, 9)));
        assert_eq!(ratio("16/9"), None);
        assert_eq!(byte_range("0-9"), Some(0..10));
        assert!(is_date_time("2026-01-01T00:00:00.5Z") && !is_date_time("2026-01-01"));
    }
}

//! The two texts that metrics are told in: OpenMetrics 1.0, and the older format of Prometheus, 0.0.4.
//!
//! Both want a family in one piece, with one line each that says what it is. A registry writes it once for
//! each part that has it, as two caches do; here they come together.

use std::collections::HashMap;
use std::fmt::Write as _;

use http::{HeaderMap, header};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// What a request takes: OpenMetrics where it says so, as Prometheus does, and else the older.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let mut accepted = headers.get_all(header::ACCEPT).iter();
        let known = accepted.any(|value| {
            value.to_str().is_ok_and(|value| value.contains("application/openmetrics-text"))
        });
        if known { Self::OpenMetrics } else { Self::Plain }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A registry's text, which is OpenMetrics but for families in pieces.
    pub(super) fn write(self, text: &str) -> String {
        let mut page = String::with_capacity(text.len());
        for family in families(text) {
            family.write(self, &mut page);
        }
        if self == Self::OpenMetrics {
            page.push_str("# EOF\n");
        }
        page
    }
}

/// Samples of one name, and what they are.
#[derive(Debug, Default)]
struct Family<'t> {
    name: &'t str,
    help: &'t str,
    kind: &'t str,
    unit: Option<&'t str>,
    samples: Vec<&'t str>,
}

impl Family<'_> {
    fn write(&self, format: Format, page: &mut String) {
        let Self { name, help, kind, unit, samples } = self;
        // What was a counter's suffix is a part of its name in the older format, which knows no units.
        let (suffix, kind) = match (format, *kind) {
            (Format::Plain, "counter") => ("_total", "counter"),
            (Format::Plain, "unknown") => ("", "untyped"),
            (_, kind) => ("", kind),
        };
        let _ = writeln!(page, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        if let Some(unit) = unit.filter(|_| format == Format::OpenMetrics) {
            let _ = writeln!(page, "# UNIT {name} {unit}");
        }
        for sample in samples {
            page.push_str(sample);
        }
    }
}

/// In the order in which they first come.
fn families(text: &str) -> Vec<Family<'_>> {
    let mut all: Vec<Family<'_>> = Vec::new();
    let mut places = HashMap::new();
    let mut current = 0;
    for line in text.split_inclusive('\n') {
        let Some((what, name, rest)) = metadata(line) else {
            if let Some(family) = all.get_mut(current).filter(|_| !line.starts_with('#')) {
                family.samples.push(line);
            }
            continue;
        };
        current = *places.entry(name).or_insert_with(|| {
            all.push(Family { name, ..Family::default() });
            all.len() - 1
        });
        if let Some(family) = all.get_mut(current) {
            match what {
                "HELP" => family.help = rest,
                "TYPE" => family.kind = rest,
                _ => family.unit = Some(rest),
            }
        }
    }
    all
}

/// Reads `# HELP name what it is`, and such with `TYPE` and `UNIT`.
fn metadata(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.strip_prefix("# ")?.trim_end_matches('\n').splitn(3, ' ');
    let (what, name) = (words.next()?, words.next()?);
    Some((what, name, words.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP a_hits Found.
# TYPE a_hits counter
a_hits_total{cache=\"edge\"} 1
# HELP a_age_seconds How old.
# TYPE a_age_seconds gauge
# UNIT a_age_seconds seconds
a_age_seconds 3
# HELP a_hits Found.
# TYPE a_hits counter
a_hits_total{cache=\"shield\"} 2
# EOF
";

    #[test]
    fn a_family_is_in_one_piece() {
        let page = Format::OpenMetrics.write(TEXT);
        assert_eq!(
            page,
            "\
# HELP a_hits Found.
# TYPE a_hits counter
a_hits_total{cache=\"edge\"} 1
a_hits_total{cache=\"shield\"} 2
# HELP a_age_seconds How old.
# TYPE a_age_seconds gauge
# UNIT a_age_seconds seconds
a_age_seconds 3
# EOF
"
        );
        assert_eq!(Format::OpenMetrics.write(&page), page);
    }

    #[test]
    fn the_older_format_has_counters_by_their_whole_name() {
        assert_eq!(
            Format::Plain.write(TEXT),
            "\
# HELP a_hits_total Found.
# TYPE a_hits_total counter
a_hits_total{cache=\"edge\"} 1
a_hits_total{cache=\"shield\"} 2
# HELP a_age_seconds How old.
# TYPE a_age_seconds gauge
a_age_seconds 3
"
        );
    }

    #[test]
    fn what_is_told_is_what_is_asked_for() {
        let mut headers = HeaderMap::new();
        assert_eq!(Format::asked(&headers), Format::Plain);
        for (accept, format) in [
            ("*/*", Format::Plain),
            ("text/plain;version=0.0.4", Format::Plain),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
                Format::OpenMetrics,
            ),
        ] {
            headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
            assert_eq!(Format::asked(&headers), format, "{accept}");
        }
    }
}

//! Segment URLs from templates (ISO/IEC 23009-1 §5.3.9.4.4).

/// What identifiers stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) representation: &'a str,
    pub(crate) bandwidth: u64,
    pub(crate) number: Option<u64>,
    pub(crate) time: Option<u64>,
}

/// Puts the values in; an error names what the standard does not know.
pub(crate) fn fill(template: &str, values: Values<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let Some((identifier, remaining)) = after.split_once('$') else {
            return Err(format!("`${after}` has no second `$`"));
        };
        rest = remaining;
        let (name, format) = identifier.split_once('%').unwrap_or((identifier, ""));
        let width = match (format, identifier.contains('%')) {
            (_, false) => 1,
            (format, true) => {
                let width = format.strip_prefix('0').and_then(|format| format.strip_suffix('d'));
                let width = width.and_then(|width| width.parse::<usize>().ok());
                width
                    .filter(|width| (1..=20).contains(width))
                    .ok_or_else(|| format!("`%{format}` is no width of the form %0[width]d"))?
            }
        };
        let number = |value: Option<u64>| {
            let value = value.ok_or_else(|| format!("`${identifier}$` cannot be used here"))?;
            Ok::<_, String>(format!("{value:0width$}"))
        };
        match name {
            "" if !identifier.contains('%') => out.push('$'),
            "RepresentationID" if !identifier.contains('%') => out.push_str(values.representation),
            "Number" => out.push_str(&number(values.number)?),
            "Time" => out.push_str(&number(values.time)?),
            "Bandwidth" => out.push_str(&number(Some(values.bandwidth))?),
            "SubNumber" => out.push_str(&number(Some(1))?),
            _ => return Err(format!("`${identifier}$` is no identifier")),
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_filled_and_others_refused() {
        let values = Values { representation: "v1", bandwidth: 9, number: Some(7), time: None };
        let fill = |template| fill(template, values);
        assert_eq!(
            fill("$RepresentationID$/$Number%03d$-$Bandwidth$$$").as_deref(),
            Ok("v1/007-9$")
        );
        for wrong in ["$number$", "$Number", "$Number%3d$", "$Time$", "$Number%0d$"] {
            assert!(fill(wrong).is_err(), "{wrong}");
        }
    }
}

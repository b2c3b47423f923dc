//! Which attribute has a value of which type (RFC 8216bis §4.2 and each tag's own section).

use std::fmt;

use crate::hls::attributes::Value;

/// A type of attribute values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Integer,
    Hexadecimal,
    Decimal,
    SignedDecimal,
    Quoted,
    Resolution,
    /// One of these words.
    Enumerated(&'static [&'static str]),
    /// One of some words that may become more.
    Word,
    /// A quoted string, or this word.
    QuotedOr(&'static str),
}

const YES_NO: Type = Type::Enumerated(&["YES", "NO"]);

impl Type {
    pub(super) fn fits(self, value: &Value) -> bool {
        match self {
            Self::Quoted => value.is_quoted(),
            Self::QuotedOr(word) => value.is_quoted() || value.text() == word,
            _ => !value.is_quoted() && self.fits_bare(value.text()),
        }
    }

    pub(super) fn fits_bare(self, text: &str) -> bool {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let decimal = |text: &str| match text.split_once('.') {
            Some((whole, part)) => digits(whole) && digits(part),
            None => digits(text),
        };
        match self {
            Self::Integer => digits(text) && text.parse::<u64>().is_ok(),
            Self::Hexadecimal => {
                let rest = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
                rest.is_some_and(|rest| {
                    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
                })
            }
            Self::Decimal => decimal(text),
            Self::SignedDecimal => decimal(text.strip_prefix('-').unwrap_or(text)),
            Self::Resolution => {
                text.split_once('x').is_some_and(|(width, height)| digits(width) && digits(height))
            }
            Self::Enumerated(words) => words.contains(&text),
            Self::Word | Self::Quoted | Self::QuotedOr(_) => !text.is_empty(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "a decimal integer",
            Self::Hexadecimal => "a hexadecimal sequence",
            Self::Decimal => "a decimal number",
            Self::SignedDecimal => "a signed decimal number",
            Self::Quoted => "a quoted string",
            Self::Resolution => "a decimal resolution",
            Self::Word => "an enumerated string",
            Self::Enumerated(words) => return write!(f, "one of {}", words.join(", ")),
            Self::QuotedOr(word) => return write!(f, "a quoted string or {word}"),
        })
    }
}

/// The type of an attribute of a tag, where the standard gives one.
pub(super) fn expected(tag: &str, name: &str) -> Option<Type> {
    use Type::{
        Decimal, Enumerated, Hexadecimal, Integer, Quoted, QuotedOr, Resolution, SignedDecimal,
        Word,
    };
    Some(match (tag, name) {
        ("EXT-X-STREAM-INF" | "EXT-X-I-FRAME-STREAM-INF", name) => match name {
            "BANDWIDTH" | "AVERAGE-BANDWIDTH" | "PROGRAM-ID" => Integer,
            "SCORE" | "FRAME-RATE" => Decimal,
            "RESOLUTION" => Resolution,
            "HDCP-LEVEL" | "VIDEO-RANGE" => Word,
            "CLOSED-CAPTIONS" => QuotedOr("NONE"),
            "CODECS"
            | "SUPPLEMENTAL-CODECS"
            | "ALLOWED-CPC"
            | "REQ-VIDEO-LAYOUT"
            | "AUDIO"
            | "VIDEO"
            | "SUBTITLES"
            | "URI"
            | "STABLE-VARIANT-ID"
            | "PATHWAY-ID"
            | "NAME" => Quoted,
            _ => return None,
        },
        ("EXT-X-MEDIA", name) => match name {
            "TYPE" => Enumerated(&["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"]),
            "DEFAULT" | "AUTOSELECT" | "FORCED" => YES_NO,
            "BIT-DEPTH" | "SAMPLE-RATE" => Integer,
            "URI"
            | "GROUP-ID"
            | "LANGUAGE"
            | "ASSOC-LANGUAGE"
            | "NAME"
            | "STABLE-RENDITION-ID"
            | "INSTREAM-ID"
            | "CHARACTERISTICS"
            | "CHANNELS"
            | "PATHWAY-ID" => Quoted,
            _ => return None,
        },
        ("EXT-X-KEY" | "EXT-X-SESSION-KEY", name) => match name {
            "METHOD" => Word,
            "IV" => Hexadecimal,
            "URI" | "KEYFORMAT" | "KEYFORMATVERSIONS" => Quoted,
            _ => return None,
        },
        ("EXT-X-START", "TIME-OFFSET") => SignedDecimal,
        ("EXT-X-START", "PRECISE") => YES_NO,
        ("EXT-X-MAP", "URI" | "BYTERANGE")
        | ("EXT-X-DEFINE", "NAME" | "VALUE" | "IMPORT" | "QUERYPARAM")
        | ("EXT-X-SESSION-DATA", "DATA-ID" | "VALUE" | "URI" | "LANGUAGE")
        | ("EXT-X-CONTENT-STEERING", "SERVER-URI" | "PATHWAY-ID") => Quoted,
        ("EXT-X-SESSION-DATA", "FORMAT") => Enumerated(&["JSON", "RAW"]),
        ("EXT-X-DATERANGE", name) => match name {
            "DURATION" | "PLANNED-DURATION" => Decimal,
            "SCTE35-CMD" | "SCTE35-OUT" | "SCTE35-IN" => Hexadecimal,
            "END-ON-NEXT" => Enumerated(&["YES"]),
            "ID" | "CLASS" | "START-DATE" | "CUE" | "END-DATE" => Quoted,
            _ => return None,
        },
        ("EXT-X-PART", name) => match name {
            "DURATION" => Decimal,
            "INDEPENDENT" | "GAP" => YES_NO,
            "URI" | "BYTERANGE" => Quoted,
            _ => return None,
        },
        ("EXT-X-PART-INF", "PART-TARGET")
        | ("EXT-X-SERVER-CONTROL", "CAN-SKIP-UNTIL" | "HOLD-BACK" | "PART-HOLD-BACK") => Decimal,
        ("EXT-X-SERVER-CONTROL", "CAN-SKIP-DATERANGES" | "CAN-BLOCK-RELOAD") => {
            Enumerated(&["YES"])
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_types() {
        for (kind, good, bad) in [
            (Type::Integer, "12", "1.5"),
            (Type::Decimal, "1.5", "-1"),
            (Type::SignedDecimal, "-1.5", "1."),
            (Type::Hexadecimal, "0xaF", "af"),
            (Type::Resolution, "1x2", "1:2"),
            (Type::Enumerated(&["YES"]), "YES", "yes"),
        ] {
            assert!(kind.fits(&Value::Bare(good.to_owned())), "{kind}");
            assert!(!kind.fits(&Value::Bare(bad.to_owned())), "{kind}");
            assert!(!kind.fits(&Value::Quoted(good.to_owned())), "{kind}");
        }
        assert!(Type::QuotedOr("NONE").fits(&Value::Bare("NONE".to_owned())));
        assert_eq!(expected("EXT-X-MEDIA", "X-MINE"), None);
    }
}

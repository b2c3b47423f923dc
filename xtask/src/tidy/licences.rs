//! Whether a licence expression (SPDX 2.3 annex D) can be met by licences we accept.

/// Permissive licences, and MPL-2.0, whose duty ends at its own files.
const ACCEPTED: [&str; 19] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BlueOak-1.0.0",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "WTFPL",
    "Zlib",
];

/// True when some choice among the alternatives needs accepted licences only. What is no
/// expression is not accepted.
pub(super) fn accepted(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, 0);
    met && at == words.len()
}

/// `a OR b`, the loosest.
fn either(words: &[&str], at: &mut usize, depth: usize) -> bool {
    let mut met = both(words, at, depth);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, depth);
    }
    met
}

/// `a AND b`.
fn both(words: &[&str], at: &mut usize, depth: usize) -> bool {
    let mut met = one(words, at, depth);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, depth);
    }
    met
}

/// A licence, perhaps `WITH` an exception, or an expression in parentheses.
fn one(words: &[&str], at: &mut usize, depth: usize) -> bool {
    match words.get(*at) {
        Some(&"(") if depth < 16 => {
            *at += 1;
            let met = either(words, at, depth + 1);
            let closed = words.get(*at) == Some(&")");
            *at += usize::from(closed);
            met && closed
        }
        Some(licence) => {
            *at += 1;
            if words.get(*at) == Some(&"WITH") {
                let exception = words.get(*at + 1).unwrap_or(&"");
                *at = (*at + 2).min(words.len());
                return ACCEPTED.contains(&format!("{licence} WITH {exception}").as_str());
            }
            ACCEPTED.contains(licence)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_through_is_enough_and_a_duty_is_not_skipped() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "ISC AND (Apache-2.0 OR GPL-2.0-only) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(accepted(good), "{good}");
        }
        for bad in [
            "",
            "AGPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "LGPL-2.1-or-later",
            "(MIT",
            "MIT MIT",
            "GPL-2.0-only WITH LLVM-exception",
        ] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}

//! Just enough of Rust's grammar to know code from comments, and to read `use` paths.

/// The text with comments, strings and character literals blanked out; every line keeps its place.
pub(super) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip(bytes, at);
        if end > at {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        } else {
            at += 1;
        }
    }
    // Only whole literals and comments were blanked, byte for byte, so this stays UTF-8.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    match rest[0] {
        b'"' => at + string(rest),
        b'r' | b'b' | b'c' if at == 0 || !is_word(bytes[at - 1]) => {
            let prefix = rest.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
            at + if prefix <= 2 { prefixed(rest, prefix) } else { 0 }
        }
        b'\'' => at + character(rest),
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `b"…"`, `r#"…"#`, `b'…'` and their kin, or nothing of the sort.
fn prefixed(rest: &[u8], prefix: usize) -> usize {
    let raw = rest[..prefix].contains(&b'r');
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    match rest.get(prefix + hashes) {
        Some(b'"') if raw => {
            let mut close = vec![b'"'];
            close.resize(1 + hashes, b'#');
            let open = prefix + hashes + 1;
            let found = rest[open..].windows(close.len()).position(|window| window == close);
            found.map_or(rest.len(), |found| open + found + close.len())
        }
        Some(b'"') if hashes == 0 => prefix + string(&rest[prefix..]),
        Some(b'\'') if hashes == 0 => prefix + character(&rest[prefix..]),
        _ => 0,
    }
}

/// A character literal, or 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return close.map_or(rest.len(), |close| close + 4);
    }
    // One character of up to four bytes, then the closing quote.
    let close = rest.iter().skip(2).take(4).position(|byte| *byte == b'\'');
    match close {
        Some(0) => 3,
        Some(close) if !rest[1].is_ascii() => close + 3,
        _ => 0,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What comes before the tests at the end of a file. Takes and gives what [`code_only`] gave.
pub(super) fn without_tests(code: &str) -> &str {
    const MARK: &str = "#[cfg(test)]";
    for (at, _) in code.match_indices(MARK) {
        let mut rest = code[at + MARK.len()..].trim_start();
        while rest.starts_with("#[") {
            rest = rest.split_once(']').map_or("", |(_, rest)| rest.trim_start());
        }
        let module = rest.strip_prefix("pub(crate) ").unwrap_or(rest).starts_with("mod ");
        let inline = rest.find('{') < rest.find(';') || !rest.contains(';');
        if module && inline && rest.contains('{') {
            return &code[..at];
        }
    }
    code
}

/// One path that code names, such as `crate::index::samples` or `tokio::spawn`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// From 1.
    pub(super) line: usize,
    pub(super) parts: Vec<String>,
}

/// Every path of two parts or more, with the braces of `use` multiplied out.
pub(super) fn paths(code: &str) -> Vec<Path> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let begins = (bytes[at].is_ascii_alphabetic() || bytes[at] == b'_')
            && (at == 0 || !(is_word(bytes[at - 1]) || matches!(bytes[at - 1], b':' | b'$')));
        if begins {
            let mut all = Vec::new();
            let end = tree(code, at, &mut Vec::new(), &mut all);
            found.extend(
                all.into_iter().filter(|parts| parts.len() > 1).map(|parts| Path { line, parts }),
            );
            line += code[at..end].matches('\n').count();
            at = end.max(at + 1);
        } else {
            line += usize::from(bytes[at] == b'\n');
            at += 1;
        }
    }
    found
}

/// Reads one path, and the group of paths that may end it; gives back where it ends.
fn tree(code: &str, mut at: usize, prefix: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        let word = code[at..].bytes().take_while(|byte| is_word(*byte)).count();
        if word > 0 {
            prefix.push(code[at..at + word].to_owned());
            at += word;
        }
        let after = at + blank(&code[at..]);
        if word == 0 || !code[after..].starts_with("::") {
            out.push(prefix.clone());
            break;
        }
        let next = after + 2 + blank(&code[after + 2..]);
        if code[next..].starts_with('{') {
            at = group(code, next + 1, prefix, out);
            break;
        }
        at = next;
    }
    prefix.truncate(depth);
    at
}

/// Reads the paths of a group up to its closing brace; gives back where it ends.
fn group(code: &str, mut at: usize, prefix: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> usize {
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'}' => return at + 1,
            byte if is_word(*byte) => {
                at = tree(code, at, prefix, out);
                // `a as b`: the new name is no path.
                let rest = code[at..].trim_start();
                if let Some(name) = rest.strip_prefix("as ") {
                    at = code.len() - name.trim_start().len();
                    at += code[at..].bytes().take_while(|byte| is_word(*byte)).count();
                }
            }
            _ => at += 1,
        }
        while !code.is_char_boundary(at) {
            at += 1;
        }
    }
    at
}

fn blank(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_whitespace).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_else() {
        let text = "a(\"crate::x // no\\\"\"); // crate::y\n/* b /* c */ crate::z */ 'x' '\\'' '\\u{1F600}' 'é' fn f<'a>(r: &'a u8) r#\"q\"q\"# b\"\\\"\" br\"\\\" b'\"' raw::d";
        let code = code_only(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a(", ");", "fn", "f<'a>(r:", "&'a", "u8)", "raw::d"]
        );
    }

    #[test]
    fn tests_end_a_file_and_test_helpers_do_not() {
        assert_eq!(without_tests("a\n#[cfg(test)]\n#[allow(b)]\nmod tests {\n}"), "a\n");
        assert_eq!(
            without_tests("#[cfg(test)]\nmod tests;\nb {}"),
            "#[cfg(test)]\nmod tests;\nb {}"
        );
        assert_eq!(
            without_tests("#[cfg(test)]\nuse a;\nmod b {}"),
            "#[cfg(test)]\nuse a;\nmod b {}"
        );
    }

    #[test]
    fn groups_are_multiplied_out() {
        let code = "use crate::{\n a::{B, c::D as E}, self };\nlet x = super::super::y(z, std::f::<A>());\n::tokio::g; $crate::h;";
        let all: Vec<String> = paths(code)
            .iter()
            .map(|path| format!("{} {}", path.line, path.parts.join("::")))
            .collect();
        assert_eq!(
            all,
            ["1 crate::a::B", "1 crate::a::c::D", "1 crate::self", "3 super::super::y", "3 std::f"]
        );
    }
}

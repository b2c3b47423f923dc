//! On which line of a JSON text something stands, for messages that a parser no longer can make.

/// One step into a JSON text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// The member of an object.
    Key(&'a str),
    /// The element of an array, from 0.
    Item(usize),
}

/// The line, from 1, of the key or element that `path` leads to in a valid JSON text; the line of
/// the last step that is there where the path leads nowhere.
pub(super) fn line(text: &str, path: &[Step<'_>]) -> usize {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    let mut seen = 0;
    for step in path {
        scan.blanks();
        let found = match step {
            Step::Key(key) => scan.member(key),
            Step::Item(number) => scan.item(*number),
        };
        let Some(at) = found else { break };
        seen = at;
    }
    1 + text.get(..seen).unwrap_or_default().matches('\n').count()
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Moves to the value of a member of the object here, and gives where its key is.
    fn member(&mut self, key: &str) -> Option<usize> {
        self.take(b'{')?;
        loop {
            self.blanks();
            let start = self.at;
            if self.peek()? != b'"' {
                return None;
            }
            self.string();
            let found: String = serde_json::from_slice(self.text.get(start..self.at)?).ok()?;
            self.blanks();
            self.take(b':')?;
            self.blanks();
            if found == key {
                return Some(start);
            }
            self.value();
            self.blanks();
            self.take(b',')?;
        }
    }

    /// Moves to an element of the array here, and gives where it is.
    fn item(&mut self, number: usize) -> Option<usize> {
        self.take(b'[')?;
        for _ in 0..number {
            self.value();
            self.blanks();
            self.take(b',')?;
        }
        self.blanks();
        (self.peek()? != b']').then_some(self.at)
    }

    /// Passes one value.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Passes the string that starts here.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Step::{Item, Key};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_elements_are_found() {
        let text = "{\n \"a\\\"}\": [1, \"]\", {}],\n \"b\": {\"x\": [{}, [\n3,\n4]]},\n\"c\": 5}";
        assert_eq!(line(text, &[]), 1);
        assert_eq!(line(text, &[Key("a\"}")]), 2);
        assert_eq!(line(text, &[Key("b")]), 3);
        assert_eq!(line(text, &[Key("b"), Key("x"), Item(1), Item(0)]), 4);
        assert_eq!(line(text, &[Key("b"), Key("x"), Item(1), Item(1)]), 5);
        assert_eq!(line(text, &[Key("c")]), 6);
        // As far as the path goes.
        assert_eq!(line(text, &[Key("b"), Key("y")]), 3);
        assert_eq!(line(text, &[Key("b"), Key("x"), Item(9)]), 3);
        assert_eq!(line(text, &[Key("z")]), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "[\\[\\]{}\",:\\\\ \n0a]{0,60}", number in 0usize..3) {
            let _ = line(&text, &[Key("a"), Item(number)]);
            let _ = line(&text, &[Item(number), Key("a")]);
        }
    }
}

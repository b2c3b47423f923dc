//! What is kept of an answer until its line is written: numbers, and the client's words, copied.

use headwater_net::{Protocol, Timestamp};

use super::address::Client;
use super::builder::Format;
use super::query::Masked;
use crate::cache_result::CacheResult;
use crate::watch::End;

/// Records one after the other and, beside them, the texts they speak of, without gaps: what a
/// request writes is as long as what its client said, and lies in one stretch of memory.
#[derive(Debug, Default)]
pub(super) struct Page {
    records: Vec<(Facts, [Length; TEXTS])>,
    text: Vec<u8>,
}

/// What one line says in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) time: Timestamp,
    pub(super) client: Option<Client>,
    pub(super) protocol: Option<Protocol>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    pub(super) cache: CacheResult,
    pub(super) end: End,
    /// How it is written to the log; those that are not are for who watches.
    pub(super) logged: Option<Format>,
}

/// What one line says in the client's words, and in one of the operator's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) method: &'a [u8],
    pub(super) host: &'a [u8],
    pub(super) path: &'a [u8],
    /// Where it is told, and what of it is not.
    pub(super) query: Option<(&'a [u8], &'a Masked)>,
    /// Parameters that hold tokens.
    pub(super) tokens: Option<[&'a str; 2]>,
    pub(super) referer: &'a [u8],
    pub(super) user_agent: &'a [u8],
    /// The operator's name of its route; empty where it has none.
    pub(super) route: &'a [u8],
}

const TEXTS: usize = 7;

/// How much of a text is in the page.
#[derive(Clone, Copy, Debug)]
struct Length {
    bytes: u8,
    /// There was more.
    cut: bool,
}

/// One record, as a line is made of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) facts: &'a Facts,
    pub(super) method: Text<'a>,
    pub(super) host: Text<'a>,
    pub(super) path: Text<'a>,
    /// Empty where there was none, and where it is not told.
    pub(super) query: Text<'a>,
    pub(super) referer: Text<'a>,
    pub(super) user_agent: Text<'a>,
    /// Empty where it has no name.
    pub(super) route: Text<'a>,
}

/// What a client said: any bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    /// There was more.
    pub(super) cut: bool,
}

impl Page {
    /// A page with room for `records` of an ordinary size.
    pub(super) fn with_room_for(records: usize) -> Self {
        let text = records.saturating_mul(192);
        Self { records: Vec::with_capacity(records), text: Vec::with_capacity(text) }
    }

    /// Copies a record in. Long texts are cut: what comes from a client never makes a page grow
    /// beyond three quarters of a kilobyte a record, nor hold on to a connection's buffer.
    pub(super) fn push(&mut self, facts: Facts, words: Words<'_>) {
        let lengths = [
            self.copy(words.method, 16),
            self.copy(words.host, 64),
            self.copy(words.path, 160),
            match words.query {
                Some((query, masked)) => self.copy_masked(query, masked, words.tokens, 160),
                None => Length { bytes: 0, cut: false },
            },
            self.copy(words.referer, 96),
            self.copy(words.user_agent, 144),
            self.copy(words.route, 64),
        ];
        self.records.push((facts, lengths));
    }

    fn copy(&mut self, text: &[u8], most: u8) -> Length {
        match text.get(..usize::from(most)) {
            Some(beginning) if beginning.len() < text.len() => {
                self.text.extend_from_slice(beginning);
                Length { bytes: most, cut: true }
            }
            _ => {
                self.text.extend_from_slice(text);
                Length { bytes: text.len() as u8, cut: false }
            }
        }
    }

    /// Masks before it cuts: a cut name would not be known.
    fn copy_masked(
        &mut self,
        query: &[u8],
        masked: &Masked,
        tokens: Option<[&str; 2]>,
        most: u8,
    ) -> Length {
        let (mut left, mut cut) = (most, false);
        masked.apply(query, tokens, |piece| {
            let copied = self.copy(piece, left);
            left -= copied.bytes;
            cut = copied.cut;
            !cut
        });
        Length { bytes: most - left, cut }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.text.clear();
    }

    /// Every record, in the order they came in.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.text.as_slice();
        self.records.iter().map(move |(facts, lengths)| {
            let [method, host, path, query, referer, user_agent, route] = lengths.map(|length| {
                let (bytes, left) = rest.split_at_checked(length.bytes.into()).unwrap_or_default();
                rest = left;
                Text { bytes, cut: length.cut }
            });
            Record { facts, method, host, path, query, referer, user_agent, route }
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// What lines are made of in tests.
    pub(in crate::access_log) fn facts() -> Facts {
        Facts {
            time: Timestamp::from_millis(1_795_446_184_007),
            client: Some(Client::At("[::1]:80".parse().unwrap())),
            protocol: Some(Protocol::H3),
            status: 206,
            bytes: 7,
            duration_us: 12,
            cache: CacheResult::Stale,
            end: End::Failed,
            logged: Some(Format::Json),
        }
    }

    pub(in crate::access_log) const WORDS: Words<'static> = Words {
        method: b"GET",
        host: b"h",
        path: b"/a",
        query: None,
        tokens: None,
        referer: b"",
        user_agent: b"",
        route: b"",
    };

    /// Limit: what one record may take of a page.
    #[test]
    fn what_a_client_says_is_cut_and_secrets_are_masked_before_that() {
        let long = vec![b'x'; 5_000];
        let mut query = vec![b'q'; 150];
        query.extend_from_slice(b"&token=SECRET&after=1");
        let masked = Masked::default();
        let words = Words {
            method: &long,
            host: &long,
            path: &long,
            query: Some((&query, &masked)),
            referer: &long,
            user_agent: &long,
            tokens: None,
            route: &long,
        };
        let mut page = Page::default();
        page.push(facts(), words);
        page.push(facts(), WORDS);
        assert!(page.text.len() < 768, "{}", page.text.len());
        let record = page.records().next().unwrap();
        let Record { method, host, path, referer, user_agent, route, .. } = record;
        for text in [method, host, path, referer, user_agent, route] {
            assert!(text.cut);
            assert!(text.bytes.iter().all(|byte| *byte == b'x'));
        }
        assert!(record.query.cut);
        assert!(record.query.bytes.ends_with(b"&token=***"), "{record:?}");
        let next = page.records().nth(1).unwrap();
        assert_eq!(
            (next.path.bytes, next.query.bytes, next.path.cut),
            (&b"/a"[..], &b""[..], false)
        );
    }
}

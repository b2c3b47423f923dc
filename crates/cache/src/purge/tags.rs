//! The surrogate keys of a response: the names of what it was made from, by which it is purged.
//!
//! `Surrogate-Key` lists them between spaces, `Cache-Tag` between commas; case counts. Kept is a
//! 64-bit hash of each: two tags that share one are purged together, which costs a fetch and is
//! never wrong. The hash is part of what lies on disk and does not change.

use http::{HeaderMap, HeaderName};

/// `Surrogate-Key`: tags between spaces.
pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// `Cache-Tag`: tags between commas.
pub(crate) const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// The most tags of one response that are told apart.
pub(crate) const MAX_TAGS: usize = 256;
/// The longest tag, in bytes.
pub(crate) const MAX_TAG: usize = 1024;

/// The tags of one response, as hashes, sorted; at most [`MAX_TAGS`]. A response with more of them,
/// or with a longer one than [`MAX_TAG`], has [any](Self::is_any) tag: every purge by tag hits it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    hashes: Box<[u64]>,
    any: bool,
}

impl Tags {
    /// Reads the tags from a response's fields.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut hashes = Vec::new();
        let mut any = false;
        for (name, is_separator) in [
            (SURROGATE_KEY, u8::is_ascii_whitespace as fn(&u8) -> bool),
            (CACHE_TAG, |byte: &u8| *byte == b','),
        ] {
            let lines = headers.get_all(name);
            let tags = lines.iter().flat_map(|line| line.as_bytes().split(is_separator));
            for tag in tags.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()) {
                if tag.len() > MAX_TAG || hashes.len() == MAX_TAGS {
                    any = true;
                } else {
                    hashes.push(hash(tag));
                }
            }
        }
        Self::from_hashes(hashes, any)
    }

    /// Tags as they were [stored](Self::hashes); more than there may be are taken for any.
    pub(crate) fn from_hashes(mut hashes: Vec<u64>, any: bool) -> Self {
        let any = any || hashes.len() > MAX_TAGS;
        hashes.truncate(MAX_TAGS);
        hashes.sort_unstable();
        hashes.dedup();
        Self { hashes: hashes.into(), any }
    }

    /// The hashes, each once.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Whether every tag is to be taken for one of these.
    pub(crate) fn is_any(&self) -> bool {
        self.any
    }

    /// The bytes they take in memory beside themselves.
    pub(crate) fn weight(&self) -> u64 {
        size_of_val(&*self.hashes) as u64
    }
}

/// Whether a response's fields name tags.
pub(crate) fn are_in(headers: &HeaderMap) -> bool {
    headers.contains_key(SURROGATE_KEY) || headers.contains_key(CACHE_TAG)
}

/// Takes the tags off: they are no business of clients.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(SURROGATE_KEY);
    headers.remove(CACHE_TAG);
}

/// FNV-1a with a final mix (murmur3's), so that tags that differ in their last byte alone differ in
/// all bits.
pub(crate) fn hash(tag: &[u8]) -> u64 {
    let mut hash = tag.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::HeaderValue;

    fn tags(list: &[(HeaderName, &str)]) -> Tags {
        let mut all = HeaderMap::new();
        for (name, value) in list {
            all.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        Tags::of(&all)
    }

    #[test]
    fn both_fields_count_and_each_tag_once() {
        let all = tags(&[(SURROGATE_KEY, "a  b"), (SURROGATE_KEY, "c"), (CACHE_TAG, "b, d e ,,f")]);
        let mut expected = ["a", "b", "c", "d e", "f"].map(|tag| hash(tag.as_bytes()));
        expected.sort_unstable();
        assert_eq!((all.hashes(), all.is_any()), (&expected[..], false));
        assert_eq!(tags(&[]), Tags::default());
    }

    #[test]
    fn more_tags_than_are_told_apart_are_any() {
        let many: Vec<_> = (0..=MAX_TAGS).map(|n| n.to_string()).collect();
        let all = tags(&[(SURROGATE_KEY, &many.join(" "))]);
        assert_eq!((all.hashes().len(), all.is_any()), (MAX_TAGS, true));
        assert!(!tags(&[(SURROGATE_KEY, &many[1..].join(" "))]).is_any());
        assert!(tags(&[(CACHE_TAG, &"x".repeat(MAX_TAG + 1))]).is_any());
        assert_eq!(Tags::from_hashes(all.hashes().to_vec(), true), all);
    }

    #[test]
    fn the_hash_is_what_lies_on_disks() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_ne!(hash(b"title-1"), hash(b"title-2"));
    }
}

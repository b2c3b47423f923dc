//! A response's key and head as the bytes of a record, and back.

use std::time::Duration;

use headwater_net::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::cursor::{Cursor, put_counted};
use super::record;
use crate::directives::ResponseDirectives;
use crate::object::Head;
use crate::policy::freshness::Freshness;
use crate::purge::tags::MAX_TAGS;
use crate::purge::{PurgeSeq, Tags};
use crate::slices::{Ends, MAX_SLICES};
use crate::vary::Vary;

/// Most fields of a response that are read back: a record says how many, and is not believed.
const MAX_FIELDS: usize = 4096;

/// What tells a response from others of its key; zero where it does not vary.
pub(crate) fn variant(vary: &Vary) -> u32 {
    if vary.fields().next().is_none() {
        return 0;
    }
    let mut bytes = Vec::new();
    write_vary(vary, &mut bytes);
    (record::sum(&bytes) as u32).max(1)
}

/// The bytes of a key and a head, which bears no number of a purge above `known`.
pub(crate) fn write(key: &[u8], head: &Head, known: PurgeSeq) -> Vec<u8> {
    // All fields are named, so that a new one is not forgotten here.
    let Head {
        status,
        headers,
        directives,
        freshness,
        vary,
        len,
        authorized,
        cookied,
        aged,
        tags,
        purge_seq,
        // Who told it may know otherwise when it is read again.
        keep: _,
        ends,
    } = head;
    let mut out = Vec::with_capacity(256 + key.len());
    put_counted(&mut out, key);
    out.extend_from_slice(&status.as_u16().to_le_bytes());
    let flags = [*authorized, *aged, len.is_some(), *cookied, ends.is_some()];
    let flags = flags.iter().rev().fold(0u8, |all, &flag| all << 1 | u8::from(flag));
    out.push(flags);
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    for number in [
        len.unwrap_or(0),
        millis(freshness.initial_age),
        freshness.received.as_millis(),
        millis(freshness.lifetime),
        purge_seq.min(&known).get(),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    write_directives(directives, &mut out);
    out.push(u8::from(tags.is_any()));
    out.extend_from_slice(&(tags.hashes().len() as u32).to_le_bytes());
    out.extend(tags.hashes().iter().flat_map(|hash| hash.to_le_bytes()));
    write_vary(vary, &mut out);
    out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
    for (name, value) in headers {
        put_counted(&mut out, name.as_str().as_bytes());
        put_counted(&mut out, value.as_bytes());
    }
    if let Some(ends) = ends {
        out.extend_from_slice(&(ends.len() as u32).to_le_bytes());
        out.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
    }
    out
}

/// They are not read from the fields again: a policy may have changed them.
fn write_directives(directives: &ResponseDirectives, out: &mut Vec<u8>) {
    let ResponseDirectives {
        no_store,
        no_cache,
        private,
        public,
        must_revalidate,
        proxy_revalidate,
        must_understand,
        immutable,
        s_maxage,
        max_age,
        stale_while_revalidate,
        stale_if_error,
        targeted,
    } = *directives;
    let flags = [
        no_store,
        no_cache,
        private,
        public,
        must_revalidate,
        proxy_revalidate,
        must_understand,
        targeted,
        immutable,
    ];
    let flags = flags.iter().rev().fold(0u16, |all, &flag| all << 1 | u16::from(flag));
    out.extend_from_slice(&flags.to_le_bytes());
    for seconds in [s_maxage, max_age, stale_while_revalidate, stale_if_error] {
        out.extend_from_slice(&seconds.unwrap_or(u64::MAX).to_le_bytes());
    }
}

fn read_directives(read: &mut Cursor<'_>) -> Option<ResponseDirectives> {
    let flags = u16::from_le_bytes([read.u8()?, read.u8()?]);
    let is = |bit: u8| flags >> bit & 1 != 0;
    let mut seconds = || Some(read.u64()?).map(|seconds| (seconds < u64::MAX).then_some(seconds));
    Some(ResponseDirectives {
        no_store: is(0),
        no_cache: is(1),
        private: is(2),
        public: is(3),
        must_revalidate: is(4),
        proxy_revalidate: is(5),
        must_understand: is(6),
        targeted: is(7),
        immutable: is(8),
        s_maxage: seconds()?,
        max_age: seconds()?,
        stale_while_revalidate: seconds()?,
        stale_if_error: seconds()?,
    })
}

fn read_tags(read: &mut Cursor<'_>) -> Option<Tags> {
    let any = read.u8()? != 0;
    let count = usize::try_from(read.u32()?).ok().filter(|&count| count <= MAX_TAGS)?;
    let hashes = (0..count).map(|_| read.u64()).collect::<Option<Vec<u64>>>()?;
    Some(Tags::from_hashes(hashes, any))
}

fn write_vary(vary: &Vary, out: &mut Vec<u8>) {
    out.push(vary.fields().count() as u8);
    for (name, values) in vary.fields() {
        put_counted(out, name.as_str().as_bytes());
        out.push(values.len().min(255) as u8);
        for value in values.iter().take(255) {
            put_counted(out, value.as_bytes());
        }
    }
}

/// The key that bytes begin with.
pub(crate) fn key(meta: &[u8]) -> Option<&[u8]> {
    Cursor::new(meta).counted()
}

/// The head after the key; `None` where the bytes are no head.
pub(crate) fn read(meta: &[u8]) -> Option<Head> {
    let mut read = Cursor::new(meta);
    read.counted()?;
    let status = StatusCode::from_u16(read.u16()?).ok()?;
    let flags = read.u8()?;
    let len = read.u64()?;
    let freshness = Freshness {
        initial_age: Duration::from_millis(read.u64()?),
        received: Timestamp::from_millis(read.u64()?),
        lifetime: Duration::from_millis(read.u64()?),
    };
    let purge_seq = PurgeSeq::new(read.u64()?);
    let directives = read_directives(&mut read)?;
    let tags = read_tags(&mut read)?;
    let vary = read_vary(&mut read)?;
    let count = usize::try_from(read.u32()?).ok()?;
    if count > MAX_FIELDS {
        return None;
    }
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(read.counted()?).ok()?;
        let value = HeaderValue::from_bytes(read.counted()?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let ends = if flags & 16 != 0 { Some(read_ends(&mut read)?) } else { None };
    if !read.is_empty() {
        return None;
    }
    Some(Head {
        status,
        directives,
        headers,
        freshness,
        vary,
        len: (flags & 4 != 0).then_some(len),
        authorized: flags & 1 != 0,
        cookied: flags & 8 != 0,
        aged: flags & 2 != 0,
        tags,
        purge_seq,
        keep: None,
        ends,
    })
}

fn read_ends(read: &mut Cursor<'_>) -> Option<Ends> {
    let count = usize::try_from(read.u32()?).ok().filter(|&count| count <= MAX_SLICES as usize)?;
    let ends = (0..count).map(|_| read.u64()).collect::<Option<Vec<u64>>>()?;
    let in_order = ends.first() > Some(&0) && ends.is_sorted_by(|one, next| one < next);
    in_order.then(|| ends.into())
}

fn read_vary(read: &mut Cursor<'_>) -> Option<Vary> {
    let mut vary = Vary::default();
    for _ in 0..read.u8()? {
        let name = HeaderName::from_bytes(read.counted()?).ok()?;
        let mut values = SmallVec::new();
        for _ in 0..read.u8()? {
            values.push(HeaderValue::from_bytes(read.counted()?).ok()?);
        }
        vary.push(name, values);
    }
    Some(vary)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn head() -> Head {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &'static [u8]| {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        };
        put("cache-control", b"max-age=60");
        put("vary", b"accept-language");
        put("x-twice", b"1");
        put("x-twice", b"\xff2");
        let mut request = HeaderMap::new();
        request.append("accept-language", HeaderValue::from_static("de"));
        Head {
            status: StatusCode::NOT_FOUND,
            directives: ResponseDirectives {
                stale_if_error: Some(7),
                public: true,
                ..ResponseDirectives::of(&headers)
            },
            vary: Vary::of(&headers, &request).unwrap(),
            headers,
            freshness: Freshness {
                initial_age: Duration::from_millis(1500),
                received: Timestamp::from_millis(1_700_000_000_123),
                lifetime: Duration::from_secs(60),
            },
            len: Some(9),
            authorized: true,
            cookied: true,
            aged: false,
            tags: Tags::from_hashes(vec![5, 9], false),
            purge_seq: PurgeSeq::new(77),
            keep: None,
            ends: Some([3, 9].into()),
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let bytes = write(b"host/path", &head(), PurgeSeq::new(u64::MAX));
        assert_eq!(key(&bytes), Some(&b"host/path"[..]));
        let read = read(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", head()));
        assert_eq!(variant(&read.vary), variant(&head().vary));
        assert_eq!(variant(&Vary::default()), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_head_cut_short_is_none(cut in any::<prop::sample::Index>()) {
            let bytes = write(b"k", &head(), PurgeSeq::new(u64::MAX));
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_none());
        }
    }
}

//! `CDN-Loop` (RFC 8586): a request that comes back to a node which has sent it on is answered 508,
//! before it goes round again.
//!
//! Each node signs what it sends on, after those before it, by an id of its own; so an edge and its
//! shield, which have two, do not refuse each other. A field that is malformed is passed on as it
//! is (§2): what it says of others is theirs, and an id of ours is found in it none the less.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::structured::is_token;

/// `CDN-Loop`.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// A node's id, and how many nodes a request may have passed.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    id: HeaderValue,
    max_hops: usize,
}

/// Why a request is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looped {
    /// This node has sent it on before.
    Here,
    /// Too many nodes have: they go in circles that this one cannot see, or might as well.
    TooFar,
}

impl Node {
    /// The node of this name; what of it is no pseudonym (§2, a token) becomes a hyphen.
    pub(crate) fn new(name: &str, max_hops: usize) -> Self {
        let plain = |byte: u8| if is_token(byte) || byte == b':' { byte } else { b'-' };
        let id: Vec<u8> = name.bytes().map(plain).collect();
        let id = HeaderValue::from_bytes(&id).ok().filter(|id| !id.is_empty());
        Self { id: id.unwrap_or(HeaderValue::from_static("headwater")), max_hops }
    }

    /// Whether a request may go on from here.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Looped> {
        let mut hops = 0;
        for line in headers.get_all(CDN_LOOP) {
            for member in members(line.as_bytes()) {
                let id = member.split(|byte| *byte == b';').next().unwrap_or_default();
                if id.trim_ascii().eq_ignore_ascii_case(self.id.as_bytes()) {
                    return Err(Looped::Here);
                }
                hops += 1;
            }
        }
        if hops > self.max_hops { Err(Looped::TooFar) } else { Ok(()) }
    }

    /// Signs a request on its way upstream.
    pub(crate) fn sign(&self, headers: &mut HeaderMap) {
        headers.append(CDN_LOOP, self.id.clone());
    }
}

/// The members of a list that are not empty; a comma inside a quoted string is none of its own.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
    .filter(|member| !member.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn check(name: &str, lines: &[&str]) -> Result<(), Looped> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_LOOP, HeaderValue::from_str(line).unwrap());
        }
        Node::new(name, 4).check(&headers)
    }

    #[test]
    fn rfc_8586_2_an_id_of_ours_is_a_loop_wherever_it_stands() {
        assert_eq!(check("edge", &[]), Ok(()));
        assert_eq!(check("edge", &["shield, other.example:80; a=\"edge, edge\""]), Ok(()));
        assert_eq!(check("edge", &["shieldedge, edge2"]), Ok(()));
        for lines in [
            &["edge"][..],
            &["shield, EDGE"],
            &["shield", "edge; a=1"],
            &[",, edge ,"],
            &["@@@ \"x\\\"y, z\", edge"],
        ] {
            assert_eq!(check("edge", lines), Err(Looped::Here), "{lines:?}");
        }
    }

    #[test]
    fn rfc_8586_3_more_nodes_than_there_can_be_are_a_loop_too() {
        assert_eq!(check("edge", &["a, b", "c,, d"]), Ok(()));
        assert_eq!(check("edge", &["a, b", "c, d, e"]), Err(Looped::TooFar));
    }

    #[test]
    fn rfc_8586_2_what_is_no_pseudonym_becomes_one() {
        let mut headers = HeaderMap::new();
        Node::new("my edge, \"1\"", 4).sign(&mut headers);
        Node::new("", 4).sign(&mut headers);
        let all: Vec<_> = headers.get_all(CDN_LOOP).iter().collect();
        assert_eq!(all, ["my-edge---1-", "headwater"]);
    }

    proptest! {
        #[test]
        fn any_field_is_read_without_panic(line in "[ -~]{0,80}") {
            let _ = check("edge", &[&line]);
        }
    }
}

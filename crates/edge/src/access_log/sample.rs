//! Which answers are written down where not all are: one of so many, always the same.
//!
//! It hangs on the client's address, the host and the path, by a hash that all versions and machines
//! make alike. So what one client asks for twice is there twice or not at all, and an edge and its
//! shield choose alike where both see the client. Answers that tell of something wrong may be
//! written down all the same.

use std::net::IpAddr;

use http::StatusCode;
use twox_hash::XxHash3_64;

use crate::watch::End;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// One of so many; 0 and 1 are all.
    pub(super) one_in: u32,
    /// Whether all errors are among them.
    pub(super) all_errors: bool,
}

impl Sample {
    pub(super) fn takes(
        self,
        status: u16,
        end: End,
        client: Option<IpAddr>,
        host: &[u8],
        path: &[u8],
    ) -> bool {
        self.one_in <= 1
            || (self.all_errors && is_error(status, end))
            || hash(client, host, path).is_multiple_of(self.one_in.into())
    }
}

/// Whether an answer says that something is wrong, or broke off on our side. A client that leaves
/// is none: players do so at each seek.
fn is_error(status: u16, end: End) -> bool {
    status >= StatusCode::BAD_REQUEST.as_u16() || end == End::Failed
}

fn hash(client: Option<IpAddr>, host: &[u8], path: &[u8]) -> u64 {
    let client = match client {
        Some(IpAddr::V4(ip)) => XxHash3_64::oneshot(&ip.octets()),
        Some(IpAddr::V6(ip)) => XxHash3_64::oneshot(&ip.octets()),
        None => 0,
    };
    let mixed = XxHash3_64::oneshot_with_seed(client, host);
    XxHash3_64::oneshot_with_seed(mixed, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn one_in_so_many_is_taken_and_always_the_same() {
        let sample = Sample { one_in: 10, all_errors: false };
        let taken = |n: u32, end| {
            let ip = IpAddr::from([192, 0, 2, (n % 7) as u8]);
            sample.takes(200, end, Some(ip), b"h", format!("/segment/{n}").as_bytes())
        };
        let count = (0..10_000).filter(|n| taken(*n, End::Complete)).count();
        assert!((800..1200).contains(&count), "{count}");
        for n in 0..100 {
            assert_eq!(taken(n, End::Complete), taken(n, End::Aborted));
        }
        // Of what is taken, other versions of this code take the same.
        let some: Vec<u32> = (0..60).filter(|n| taken(*n, End::Complete)).collect();
        assert_eq!(some, [13, 16, 26, 43]);
    }

    #[test]
    fn errors_are_taken_where_all_are_wanted() {
        let takes = |all_errors, status, end| {
            let sample = Sample { one_in: u32::MAX, all_errors };
            sample.takes(status, end, None, b"h", b"/")
        };
        assert!(takes(true, 404, End::Complete) && takes(true, 503, End::Complete));
        assert!(takes(true, 200, End::Failed));
        assert!(!takes(true, 200, End::Aborted) && !takes(true, 304, End::Complete));
        assert!(!takes(false, 503, End::Failed));
        assert!(Sample { one_in: 1, all_errors: false }.takes(200, End::Complete, None, b"", b""));
    }
}

//! Fields that are kept from who asks next: those of one connection, those that directives withhold,
//! and those that ask for less (RFC 9111 §3.1).

use http::{HeaderMap, header};

use crate::directives::ResponseDirectives;

pub(crate) use headwater_net::hop::strip_hop_by_hop;

/// The fields of a response that its directives keep from all but its asker.
pub(crate) fn withheld(headers: &HeaderMap, targets: &[http::HeaderName]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in ResponseDirectives::governing(headers, targets).1 {
        // Named by both directives, or twice by one: once is enough.
        if !fields.contains_key(&name) {
            for value in headers.get_all(&name) {
                fields.append(name.clone(), value.clone());
            }
        }
    }
    fields
}

/// Takes off what asks for less than the whole response (RFC 9110 §13 and §14): a fill is for
/// everyone who waits, not for its leader alone.
pub(crate) fn strip_conditions(headers: &mut HeaderMap) {
    for name in [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ] {
        headers.remove(name);
    }
}

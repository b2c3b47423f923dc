//! `answer` of a route: what is said without anybody behind, such as a redirect.

use serde::{Deserialize, Serialize};

use super::check::Looked;
use super::text::FieldValue;

/// The longest body in bytes.
const MAX_BODY: usize = 64 << 10;

/// What all requests of a route are answered: a redirect, or a text. With the status of an error and
/// without `body`, it is a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Answer {
    /// The status. Unit: none. Default none. Bound: it must be there, 200 to 599. Danger: browsers remember a
    /// 301 and a 308 for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Where to go instead, with `{host}` for the host that was asked for, without its port, and
    /// `{target}` for path and query: `https://{host}{target}`. Default none. Bound: it begins with
    /// `https://`, `http://` or `/`, and `status` is of 300 to 399. Danger: a chain of these that comes back
    /// here is a loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<FieldValue>,
    /// The body. Default none. Bound: at most 64 KiB. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What `body` is. Default `text/plain; charset=utf-8`. Bound: none. Danger: none.
    pub content_type: FieldValue,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: None,
            location: None,
            body: None,
            content_type: FieldValue::fixed("text/plain; charset=utf-8"),
        }
    }
}

impl Answer {
    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        match self.status {
            None => at.section("status", "an answer needs a status, such as status = 308"),
            Some(200..=599) => {}
            Some(status) => at.add("status", format!("{status} is not from 200 to 599")),
        }
        if let Some(location) = &self.location {
            if !["https://", "http://", "/"].iter().any(|begin| location.starts_with(begin)) {
                at.add("location", format!("'{location}' begins with no https://, http:// or /"));
            }
            if !self.status.is_none_or(|status| (300..400).contains(&status)) {
                at.add("location", "the status is none of a redirect");
            }
        }
        if self.body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
            at.add("body", format!("it is longer than {MAX_BODY} bytes"));
        }
    }
}

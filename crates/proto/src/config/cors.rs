//! `cors` of a route: whose pages may read what is served (Fetch §3.2).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::check::Looked;
use super::quantity::Time;
use super::text::{Field, List, Origin, Verb, as_text};

/// The most origins: a request's is compared with one after the other.
const MAX_ORIGINS: usize = 64;

/// Whose pages may read what is served. Preflights are answered here, before tokens are asked for, and
/// what origins say of it is taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Cors {
    /// The origins of pages that may read: `https://video.example`, `https://*.video.example` for all below
    /// that host, or `*` for any. Default none. Bound: 1 to 64; `*` alone. Danger: with `*`, pages of anybody
    /// read what is there for everybody.
    pub origins: List<PageOrigin>,
    /// Whether pages may send cookies along. Default false. Bound: not with `*`. Danger: pages of these
    /// origins do what their visitor may do.
    pub credentials: bool,
    /// The methods that pages may use. Default `GET, HEAD`. Bound: none. Danger: `server.methods` lets
    /// them in or does not.
    pub methods: List<Verb>,
    /// The fields that pages may send, such as `authorization`. Default none: whichever they ask
    /// for. Bound: none. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<List<Field>>,
    /// The fields of answers that pages may read beside those that they always may. Default none. Bound:
    /// none. Danger: none.
    pub expose: List<Field>,
    /// How long browsers remember what a preflight was answered. Default 2 h. Bound: at most 1 d. Danger:
    /// what is taken back here, browsers do for so long.
    pub max_age: Time,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: List::default(),
            credentials: false,
            methods: ["GET", "HEAD"].map(Verb::fixed).to_vec().into(),
            headers: None,
            expose: List::default(),
            max_age: Time::secs(7_200),
        }
    }
}

impl Cors {
    /// Whether pages of any origin may read.
    pub fn is_any(&self) -> bool {
        self.origins.contains(&PageOrigin::Any)
    }

    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        if self.origins.is_empty() || self.origins.len() > MAX_ORIGINS {
            let says = format!("cors needs 1 to {MAX_ORIGINS} origins, such as origins = \"*\"");
            at.section("origins", says);
        }
        if self.is_any() && self.origins.len() > 1 {
            at.add("origins", "'*' is any origin already");
        }
        if self.is_any() && self.credentials {
            at.add("credentials", "with any origin, browsers take no credentials");
        }
        if self.max_age > Time::secs(86_400) {
            at.add("max_age", format!("{} are more than 1 d", self.max_age));
        }
    }
}

/// Origins of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageOrigin {
    /// Any.
    Any,
    /// One.
    One(Origin),
    /// All whose host is below that of this one.
    Below(Origin),
}

impl FromStr for PageOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.split_once("://*.") {
            Some((scheme, host)) => format!("{scheme}://{host}").parse().map(Self::Below),
            None => text.parse().map(Self::One),
        }
        .map_err(|_: String| {
            format!(
                "'{text}' is no origin of a page: it is a scheme and a host, without a path, or *"
            )
        })
    }
}

impl std::fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(origin) => origin.fmt(f),
            Self::Below(origin) => {
                let (scheme, host) = origin.split_once("://").unwrap_or_default();
                write!(f, "{scheme}://*.{host}")
            }
        }
    }
}

as_text!(PageOrigin, "a page's origin such as \"https://video.example\"");

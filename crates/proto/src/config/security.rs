//! `security` of a route: what browsers are told to be careful with.

use serde::{Deserialize, Serialize};

use super::check::Looked;
use super::quantity::Time;
use super::text::FieldValue;

/// Fields that tell browsers to be careful, added to answers that do not have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Security {
    /// How long browsers come by HTTPS alone, once they were told (`Strict-Transport-Security`); it is said
    /// over TLS only. Default none. Bound: at most 3650 d. Danger: for so long there is no way back to plain
    /// HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Time>,
    /// Whether that holds for all hosts below this one. Default false. Bound: `hsts` must be there. Danger:
    /// hosts below it that have no HTTPS are lost.
    pub hsts_subdomains: bool,
    /// Whether browsers' makers may list the host. Default false. Bound: `hsts` of at least 365 d and
    /// `hsts_subdomains`. Danger: who is on the list stays there for months.
    pub hsts_preload: bool,
    /// Whose pages may show answers in a frame (`X-Frame-Options`). Default none: anybody's. Bound: `deny` or
    /// `same-origin`. Danger: players that are embedded elsewhere stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Frames>,
    /// Whose pages may load answers without asking by CORS (`Cross-Origin-Resource-Policy`). Default none:
    /// anybody's, unless they are isolated. Bound: `cross-origin`, `same-site` or `same-origin`. Danger:
    /// players elsewhere stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads: Option<Loads>,
    /// What a page may load, run and be framed by (`Content-Security-Policy`). Default none. Bound: none.
    /// Danger: what is left out does not load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_policy: Option<FieldValue>,
    /// What a page tells of itself where it leads (`Referrer-Policy`). Default none. Bound: none. Danger:
    /// with `no-referrer`, `referrers` elsewhere see none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer_policy: Option<FieldValue>,
}

/// Whose pages may show an answer in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Frames {
    /// Nobody's.
    Deny,
    /// Those of the same origin.
    SameOrigin,
}

/// Whose pages may load an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Loads {
    /// Anybody's.
    CrossOrigin,
    /// Those of the same site.
    SameSite,
    /// Those of the same origin.
    SameOrigin,
}

impl Security {
    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        const DAY: u64 = 86_400;
        if self.hsts.is_some_and(|time| time > Time::secs(3_650 * DAY)) {
            at.add("hsts", "it is more than 3650 d");
        }
        if self.hsts_subdomains && self.hsts.is_none() {
            at.add("hsts_subdomains", "there is no hsts");
        }
        let lasts = self.hsts.is_some_and(|time| time >= Time::secs(365 * DAY));
        if self.hsts_preload && !(lasts && self.hsts_subdomains) {
            at.add("hsts_preload", "it takes hsts of at least 365 d, and hsts_subdomains");
        }
    }
}

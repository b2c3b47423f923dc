//! `[geo]`, and `addresses`, `countries` and `referrers` of a route: which clients are let in, whatever
//! they have to show.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::Looked;
use super::text::{Host, List, Network};

/// The most countries of a list, and hosts of pages.
const MAX_FEW: usize = 256;

/// The most networks that are written here: more stand in files.
const MAX_NETWORKS: usize = 1_024;

/// Where clients are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Geo {
    /// The file of a database (MaxMind DB) that says in which country addresses are, such as GeoLite2
    /// Country; it is held in memory, and read again at SIGHUP. Default none: nobody's country is known.
    /// Bound: an absolute path. Danger: what it says may be wrong, and of a VPN always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<PathBuf>,
}

/// Addresses that are let in: of all that an address is in, the longest prefix decides. Files have a network
/// or an address a line, `#` before a comment, and are read again at SIGHUP: all of them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Addresses {
    /// Addresses and networks that are let in; where this or `allow_file` is there, others are not. Default
    /// none. Bound: at most 1,024, none of them in `deny`. Danger: an empty list lets in nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<List<Network>>,
    /// Addresses and networks that are not. Default none. Bound: at most 1,024. Danger: a network may be
    /// many who share an address.
    pub deny: List<Network>,
    /// A file of such that are let in, beside `allow`. Default none. Bound: an absolute path; at most a
    /// million with the other lists. Danger: who can write to it can let in anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_file: Option<PathBuf>,
    /// A file of such that are not. Default none. Bound: as for `allow_file`. Danger: who can write to it can
    /// keep out anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_file: Option<PathBuf>,
}

/// Countries that are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Countries {
    /// These alone (ISO 3166-1, such as `DE`), and nobody whose country is not known. Default none. Bound:
    /// one of this and `but`; at most 256; `[geo]` has a database. Danger: whoever has a VPN is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<List<String>>,
    /// All but these, and whoever's country is not known. Default none. Bound: as for `only`. Danger: as for
    /// `only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub but: Option<List<String>>,
}

/// Pages that may show what is served, by `Referer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Referrers {
    /// Hosts of pages: `video.example`, `*.video.example` for all below it. Default none. Bound: 1 to 256.
    /// Danger: whatever is no browser says what it wants.
    pub hosts: List<Host>,
    /// Whether requests that name no page are let in. Default false. Bound: none. Danger: with false,
    /// applications, television sets and careful browsers are not; with true, whoever leaves it out is.
    pub missing: bool,
}

impl Addresses {
    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        let allow = self.allow.as_deref().unwrap_or_default();
        for (key, list) in [("allow", allow), ("deny", &*self.deny)] {
            if list.len() > MAX_NETWORKS {
                at.add(
                    key,
                    format!("{} are more than {MAX_NETWORKS}: a file may have more", list.len()),
                );
            }
            if list.iter().any(|network| &**network == "unix") {
                at.add(key, "'unix' is no address");
            }
        }
        for (key, file) in [("allow_file", &self.allow_file), ("deny_file", &self.deny_file)] {
            at.absolute(key, file.as_deref());
        }
    }
}

impl Countries {
    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        match (&self.only, &self.but) {
            (None, None) => {
                at.section("only", "countries needs only or but, such as only = \"DE\"");
            }
            (Some(_), Some(_)) => at.add("but", "only says it already"),
            _ => {}
        }
        for (key, list) in [("only", &self.only), ("but", &self.but)] {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > MAX_FEW {
                at.add(key, format!("{} are more than {MAX_FEW}", list.len()));
            }
            let is_code = |code: &String| {
                code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
            };
            if let Some(other) = list.iter().find(|code| !is_code(code)) {
                let other = other.escape_debug();
                at.add(key, format!("'{other}' is no country: it is two capitals, such as DE"));
            }
        }
    }
}

impl Referrers {
    /// What is wrong with it.
    pub(super) fn check(&self, at: &mut Looked<'_>) {
        if self.hosts.is_empty() || self.hosts.len() > MAX_FEW {
            let says =
                format!("referrers needs 1 to {MAX_FEW} hosts, such as hosts = \"video.example\"");
            at.section("hosts", says);
        }
        if self.hosts.iter().any(|host| &**host == "*") {
            at.add("hosts", "'*' is any page: then no rule is needed");
        }
    }
}

//! `[[site]]`: virtual hosts, and their classes of devices.

use serde::{Deserialize, Serialize};

use super::route::Route;
use super::text::{Host, List, Name};
use super::tokens::Tokens;

/// What is served under some hosts. A request for a host that no site has is answered 421.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Site {
    /// The names it is called by, on all ports: a host, `*.` and a host for all below it, or `*` for
    /// whatever no other site has. Where all are hosts, the first stands for all in keys and upstream,
    /// so that they share what is cached. Default none. Bound: at least one; each is of one site.
    /// Danger: with `*`, whoever makes up hosts makes the cache hold everything as often.
    pub hosts: List<Host>,
    /// The group of origins for what no route takes. Default none: that is answered 404. Bound: the name
    /// of an `[[upstream]]`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Name>,
    /// Whether requests by plain HTTP are answered with a redirect to the same by HTTPS, on its own port.
    /// Default false. Bound: none. Danger: behind a load balancer that decrypts, all requests are plain;
    /// a token in the path does not go along.
    pub only_https: bool,
    /// Policies for all of the site: for what no route takes, and under what its routes and their
    /// policies say. Default none. Bound: names of `[[policy]]`; the first that says a thing counts.
    /// Danger: none.
    #[serde(rename = "policy")]
    pub policies: List<Name>,
    /// More query parameters that tell of who asks: no key and no upstream sees them. CMCD, CAT, `token`
    /// and their like are so already. Default none. Bound: none. Danger: a parameter that changes the
    /// answer gives one viewer another's.
    pub personal_parameters: List<String>,
    /// Tokens that requests need; without, none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Classes of devices, by what `User-Agent` holds; the first that does counts. At most 64 of a site.
    #[serde(rename = "device", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "super::bounded::devices")]
    pub devices: Vec<Device>,
    /// What holds for some paths; the first route that takes a request counts. At most 255 of a site, and
    /// 16,384 of all sites.
    #[serde(rename = "route", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "super::bounded::routes")]
    pub routes: Vec<Route>,
}

/// A class of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Device {
    /// What upstream is told in `Headwater-Device`. Default none. Bound: each has one of its own.
    /// Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Name>,
    /// Texts of which `User-Agent` holds one. Default none. Bound: at least one. Danger: none.
    pub agents: List<String>,
}

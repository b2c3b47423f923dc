//! What an operator asked for, read from a query or from JSON; a wrong field is named.

use headwater_cache::{Purge, PurgeSeq};
use headwater_net::encoding::{self, Coding};
use http::request::Parts;
use http::{Request, Uri, header};
use serde::Deserialize;

use super::caches::Site;
use crate::normalise;

/// A purge as it was asked for: one of the five things, and how.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Order {
    url: Option<String>,
    prefix: Option<String>,
    tag: Option<String>,
    host: Option<String>,
    all: bool,
    soft: bool,
    agreed: bool,
    sequence: Option<u64>,
    follows: Option<u64>,
}

impl Order {
    /// Reads the query where there is no body, else the body.
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Self, String> {
        let query = parts.uri.query().unwrap_or_default();
        let mut order = if body.is_empty() {
            Self::of_query(query)?
        } else if query.is_empty() {
            serde_json::from_slice(body).map_err(|error| error.to_string())?
        } else {
            return Err("a purge is a query or a body, not both".to_owned());
        };
        let named = [&order.url, &order.prefix, &order.tag, &order.host].into_iter().flatten();
        match named.count() + usize::from(order.all) {
            1 => {}
            _ => return Err("a purge names one of url, prefix, tag, host and all".to_owned()),
        }
        for (name, url) in [("url", &mut order.url), ("prefix", &mut order.prefix)] {
            if let Some(url) = url {
                *url = address(url).ok_or_else(|| format!("{name}: {BAD_ESCAPE}"))?;
            }
        }
        Ok(order)
    }

    fn of_query(query: &str) -> Result<Self, String> {
        let mut order = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let text = match &*name {
                "url" => &mut order.url,
                "prefix" => &mut order.prefix,
                "tag" => &mut order.tag,
                "host" => &mut order.host,
                "all" | "soft" | "agreed" => {
                    let flag = match &*name {
                        "all" => &mut order.all,
                        "soft" => &mut order.soft,
                        _ => &mut order.agreed,
                    };
                    *flag = match &*value {
                        "" | "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err(format!("{name}: it is true or false")),
                    };
                    continue;
                }
                "sequence" | "follows" => {
                    let number = value.parse().map_err(|_| format!("{name}: it is a number"))?;
                    let place =
                        if name == "sequence" { &mut order.sequence } else { &mut order.follows };
                    *place = Some(number);
                    continue;
                }
                _ => return Err(format!("{name}: a purge has no such field")),
            };
            if text.replace(value.into_owned()).is_some() {
                return Err(format!("{name}: it is given twice"));
            }
        }
        Ok(order)
    }

    /// The caller's number.
    pub(super) fn sequence(&self) -> Option<PurgeSeq> {
        self.sequence.map(PurgeSeq::new)
    }

    /// The purge for a cache whose requests are addressed so. What never comes there is purged there
    /// all the same: both tiers are to have seen the same numbers.
    pub(super) fn purge(&self, site: Site) -> Purge {
        let address = |url: &str| site.called(url).unwrap_or_else(|| url.to_owned());
        let purge = match self {
            Self { url: Some(url), .. } => Purge::url(address(url)),
            // What takes in the place that such a cache's URLs begin at takes in all of it.
            Self { prefix: Some(prefix), .. } if site.is_all_below(prefix) => Purge::all(),
            Self { prefix: Some(prefix), .. } => Purge::prefix(address(prefix)),
            Self { tag: Some(tag), .. } => Purge::tag(tag),
            Self { host: Some(host), .. } if !site.is_renamed() => Purge::host(host),
            _ => Purge::all(),
        };
        let purge = match self.follows {
            Some(before) => purge.following(PurgeSeq::new(before)),
            None => purge,
        };
        let purge = if self.agreed { purge.agreed() } else { purge };
        if self.soft { purge.soft() } else { purge }
    }
}

/// Stands for the one site where an operator names a path alone.
const SITE: &str = "http://localhost";

const BAD_ESCAPE: &str = "its path has an escape that is none";

/// A URL as the edge's layers leave it to the caches, and absolute where it is a path alone. What
/// is no URL stays as it is, and is refused where it is used; `None` where its path cannot be read.
fn address(url: &str) -> Option<String> {
    let url = if url.starts_with('/') { format!("{SITE}{url}") } else { url.to_owned() };
    match url.parse::<Uri>() {
        Ok(uri) if uri.scheme().is_some() => Some(normalise::rewritten(&uri)?.to_string()),
        _ => Some(url),
    }
}

/// The request that is to be explained: `url`, and any `header=Name: value`.
pub(super) fn explained(query: &str) -> Result<Parts, String> {
    let mut request = Request::get("/");
    let mut url = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "url" => url = Some(value.into_owned()),
            "header" => {
                let (name, value) =
                    value.split_once(':').ok_or("header: it is written Name: value")?;
                request = request.header(name.trim(), value.trim());
            }
            _ => return Err(format!("{name}: there is no such parameter")),
        }
    }
    let url = url.ok_or("url: what is to be explained is missing")?;
    let url = address(&url).ok_or_else(|| format!("url: {BAD_ESCAPE}"))?;
    let request = request.uri(url).body(()).map_err(|error| format!("url or header: {error}"))?;
    let absolute = request.uri().scheme().is_some();
    if !absolute {
        return Err("url: it is not absolute".to_owned());
    }
    let mut parts = request.into_parts().0;
    // As the edge's layers leave it to its cache.
    encoding::simplify_to(&Coding::ALL, &mut parts.headers);
    for name in [header::CACHE_CONTROL, header::PRAGMA] {
        parts.headers.remove(name);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn read(query: &str, body: &str) -> Result<Order, String> {
        let (parts, ()) = Request::post(format!("/purge?{query}")).body(()).unwrap().into_parts();
        Order::read(&parts, body.as_bytes())
    }

    #[test]
    fn queries_and_json_say_the_same() {
        let order = read("tag=a%20b&soft&sequence=7", "").unwrap();
        assert_eq!(order, read("", r#"{"tag":"a b","soft":true,"sequence":7}"#).unwrap());
        assert_eq!(order.purge(Site::Public), Purge::tag("a b").soft());
        assert_eq!(order.sequence(), Some(PurgeSeq::new(7)));
        let agreed = read("all&sequence=8&agreed", "").unwrap();
        assert_eq!(agreed.purge(Site::Public), Purge::all().agreed());
        let following = read("tag=a&sequence=7&follows=6", "").unwrap();
        let purge = Purge::tag("a").following(PurgeSeq::new(6));
        assert_eq!(following.purge(Site::Public), purge);
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (query, body, said) in [
            ("", "", "a purge names one of url, prefix, tag, host and all"),
            ("tag=a&all", "", "a purge names one of url, prefix, tag, host and all"),
            ("tag=a&tag=b", "", "tag: it is given twice"),
            ("tga=a", "", "tga: a purge has no such field"),
            ("all=yes", "", "all: it is true or false"),
            ("all&sequence=x", "", "sequence: it is a number"),
            ("url=/a%25g", "", "url: its path has an escape that is none"),
            ("all", "{}", "a purge is a query or a body, not both"),
        ] {
            assert_eq!(read(query, body).unwrap_err(), said);
        }
        let unknown = read("", r#"{"tga":"a"}"#).unwrap_err();
        assert!(unknown.contains("`tga`"), "{unknown}");
    }

    #[test]
    fn what_is_purged_is_called_as_each_cache_knows_it() {
        let behind = Site::Below { path: "/media", host: "media" };
        let purge = |query: &str| read(query, "").unwrap().purge(behind);
        assert_eq!(purge("url=/media/a"), Purge::url("http://media/a"));
        assert_eq!(purge("url=/watch"), Purge::url("http://localhost/watch"));
        assert_eq!(purge("prefix=/media/a"), Purge::prefix("http://media/a"));
        for all in ["prefix=/", "prefix=/med", "prefix=http://localhost/media/", "host=x", "all"] {
            assert_eq!(purge(all), Purge::all(), "{all}");
        }
        // As the edge leaves requests for it; it may be written otherwise.
        assert_eq!(
            purge("url=/%256dedia/%257Ea/f%25c3%25a9"),
            Purge::url("http://media/~a/f%C3%A9")
        );
        assert_eq!(purge("prefix=/media/f%C3%A9"), Purge::prefix("http://media/f%C3%A9"));
        let public = |query: &str| read(query, "").unwrap().purge(Site::Public);
        assert_eq!(public("host=h"), Purge::host("h"));
        assert_eq!(public("prefix=/media/"), Purge::prefix("http://localhost/media/"));
    }

    #[test]
    fn what_is_explained_is_a_request() {
        let query = "url=/%257Ea%3Fb&header=Accept:%20x&header=accept-encoding:gzip,br\
                     &header=cache-control:no-cache";
        let parts = explained(query).unwrap();
        assert_eq!(parts.uri.to_string(), format!("{SITE}/~a?b"));
        let said = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((said("accept"), said("accept-encoding")), (Some("x"), Some("br")));
        assert_eq!(said("cache-control"), None, "the edge takes it off");
        for query in ["", "url=a", "url=/%25g", "url=http://h/%20", "url=/a&x=1", "url=/a&header=x"]
        {
            assert!(explained(query).is_err(), "{query}");
        }
    }
}

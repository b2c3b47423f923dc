//! The live page: what this edge does now, for a person with a browser.
//!
//! Three files that are part of the program and ask nobody but the listener that they come from: a
//! strict policy (CSP) lets them load nothing else, run nothing inline and stand in no frame. The page
//! reads `/metrics` every two seconds and shows what changed between, so its figures are those of the
//! metrics; nothing is counted or kept for it here. Sessions and purges want the operator's token where
//! there is one: the page has it from whoever typed it, and forgets it when it is closed.

use headwater_net::Body;
use http::{HeaderName, HeaderValue, Response, header};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at this path, if it is one of the page's.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    let (kind, text) = match path {
        "/" | "/live" => ("text/html; charset=utf-8", include_str!("live/page.html")),
        "/live.js" => ("text/javascript; charset=utf-8", include_str!("live/live.js")),
        "/live.css" => ("text/css; charset=utf-8", include_str!("live/live.css")),
        _ => return None,
    };
    let mut response = Response::new(Body::from(text));
    let fields: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn the_page_is_whole_in_itself() {
        for path in ["/", "/live", "/live.js", "/live.css"] {
            let response = file(path).unwrap();
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
            let text = response.into_body().collect(1 << 16).await.unwrap().to_bytes();
            let text =
                std::str::from_utf8(&text).unwrap().replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http:", "https:", "//", "style=", "onclick", "innerHTML", "eval("] {
                let found = text
                    .lines()
                    .any(|line| line.contains(foreign) && !line.trim_start().starts_with("//"));
                assert!(!found, "{path} holds {foreign}");
            }
        }
        assert!(file("/live.map").is_none());
    }
}

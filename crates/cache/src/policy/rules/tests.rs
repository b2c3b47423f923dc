//! What rules make of requests and responses, route by route.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::time::Duration;

use super::*;
use crate::Lifetime;
use http::Request;
use proptest::prelude::*;

fn get(url: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn key(rules: &Rules, request: &Parts) -> String {
    let mut key = KeyBuf::new();
    rules.key(request, &mut key);
    String::from_utf8(key.as_bytes().to_vec()).unwrap()
}

/// The key of a URL, and the URL that upstream gets.
fn both(rules: &Rules, url: &str) -> (String, String) {
    let mut request = get(url, &[]);
    let key = key(rules, &request);
    rules.prepare(&mut request);
    (key, request.uri.to_string())
}

fn one(route: Route) -> Rules {
    Rules::builder().route(route).build().unwrap()
}

#[test]
fn the_first_route_that_matches_holds() {
    let rules = Rules::builder()
        .route(Route::on("/a/x").without_parameters(["q"]))
        .route(Route::on("/a/*").bypass())
        .otherwise(Route::on("/**").only_parameters(["v"]))
        .build()
        .unwrap();
    assert_eq!(key(&rules, &get("http://h/a/x?q=1&v=2", &[])), "h/a/x?v=2");
    assert!(!rules.bypass(&get("http://h/a/x", &[])));
    assert!(rules.bypass(&get("http://h/a/y", &[])));
    assert_eq!(key(&rules, &get("http://H/b?q=1&v=2", &[])), "h/b?v=2");
}

#[test]
fn a_host_may_be_the_same_on_all_ports() {
    let rules = one(Route::on("/**").any_port());
    let same = ("h/a?b".to_owned(), "http://h/a?b".to_owned());
    for url in ["http://h:8080/a?b", "http://h:81/a?b", "http://h/a?b"] {
        assert_eq!(both(&rules, url), same, "{url}");
    }
    let mut request = get("/a", &[("host", "h:8443")]);
    assert_eq!(key(&rules, &request), "h/a");
    rules.prepare(&mut request);
    assert_eq!(request.headers["host"], "h");
    let apart = one(Route::on("/**"));
    assert_eq!(both(&apart, "http://h:8080/a").0, "h:8080/a");
}

#[test]
fn personal_parameters_enter_neither_key_nor_upstream_url_and_ll_hls_does() {
    let rules = Rules::builder().personal(["viewer"]).build().unwrap();
    let (key, url) =
        both(&rules, "http://h/l.m3u8?CMCD=x&token=t&viewer=1&_HLS_msn=4&_HLS_part=2&a=b");
    assert_eq!(key, "h/l.m3u8?_HLS_msn=4&_HLS_part=2&a=b");
    assert_eq!(url, "http://h/l.m3u8?_HLS_msn=4&_HLS_part=2&a=b");
    let rules = Rules::builder().only_personal(["viewer"]).build().unwrap();
    assert_eq!(both(&rules, "http://h/a?token=t&viewer=1").0, "h/a?token=t");
}

#[test]
fn hosts_may_be_one_and_paths_be_another_upstream() {
    let rules = one(Route::on("/video/**").as_host("Media.example").rewrite("/video", "/v2"));
    for url in ["http://a.example/video/1?x=1", "http://b.example:81/video/1?x=1"] {
        let (key, url) = both(&rules, url);
        assert_eq!((&*key, &*url), ("media.example/video/1?x=1", "http://media.example/v2/1?x=1"));
    }
    let mut request = get("/video/1", &[("host", "a.example")]);
    rules.prepare(&mut request);
    assert_eq!(
        (request.uri.path(), &request.headers["host"]),
        ("/v2/1", &HeaderValue::from_static("media.example"))
    );
    // The rewritten path matches no route any more; what holds for the answer is the route it came by.
    let rules = one(Route::on("/video/**").rewrite("/video", "").ignore_set_cookie());
    let mut request = get("http://h/video", &[]);
    rules.prepare(&mut request);
    assert_eq!(request.uri, "http://h/");
    let mut headers = HeaderMap::new();
    headers.insert("set-cookie", HeaderValue::from_static("a=b"));
    rules.receive(&request, StatusCode::OK, &mut headers);
    assert!(headers.is_empty());
}

#[test]
fn classes_of_devices_have_answers_of_their_own_under_one_url() {
    let rules = Rules::builder()
        .device("tv", ["Tizen", "Web0S"])
        .device("mobile", ["Mobi"])
        .route(Route::on("/m.m3u8").by_device())
        .build()
        .unwrap();
    let tv = [("user-agent", "Mozilla/5.0 (Web0S; Linux) Mobi")];
    let mut keys = Vec::new();
    for fields in [&tv[..], &[("user-agent", "Mobi"), ("headwater-device", "tv")], &[]] {
        let mut request = get("http://h/m.m3u8", fields);
        let mut key = KeyBuf::new();
        rules.key(&request, &mut key);
        assert_eq!(key.url(), b"h/m.m3u8");
        keys.push(String::from_utf8(key.as_bytes().to_vec()).unwrap());
        rules.prepare(&mut request);
        let told =
            request.headers.get("headwater-device").map(|class| class.to_str().unwrap().to_owned());
        keys.push(told.unwrap_or_default());
    }
    assert_eq!(keys, ["h/m.m3u8\ntv", "tv", "h/m.m3u8\nmobile", "mobile", "h/m.m3u8\n", ""]);
    let mut other = get("http://h/1.m4s", &[("user-agent", "Tizen"), ("headwater-device", "x")]);
    assert_eq!(key(&rules, &other), "h/1.m4s");
    rules.prepare(&mut other);
    assert!(!other.headers.contains_key("headwater-device"));
}

#[test]
fn fields_are_set_and_removed_on_both_ways() {
    let rules = one(Route::on("/**")
        .set_request_header("X-Origin-Key", "k")
        .remove_request_header("cookie")
        .set_response_header("Cache-Control", "max-age=5")
        .remove_response_header("Pragma"));
    let mut request = get("http://h/a", &[("cookie", "a"), ("x-origin-key", "guess")]);
    rules.prepare(&mut request);
    assert_eq!(
        (request.headers.len(), &request.headers["x-origin-key"]),
        (1, &HeaderValue::from_static("k"))
    );
    let mut headers = HeaderMap::new();
    headers.insert("pragma", HeaderValue::from_static("no-cache"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    rules.receive(&request, StatusCode::OK, &mut headers);
    assert_eq!(
        (headers.len(), &headers["cache-control"]),
        (1, &HeaderValue::from_static("max-age=5"))
    );
}

#[test]
fn overrides_go_by_status() {
    let seconds = Duration::from_secs;
    let route = Route::on("/**")
        .ttl(Lifetime::AtMost(seconds(9)))
        .stale_if_error(seconds(60))
        .error_ttl(404..=404, seconds(5))
        .error_ttl(400..=499, seconds(2));
    let rules = one(route);
    let request = get("http://h/a", &[]);
    let of = |status: u16| {
        rules.overrides(&request, StatusCode::from_u16(status).unwrap(), &HeaderMap::new())
    };
    assert_eq!(of(200).lifetime, Some(Lifetime::AtMost(seconds(9))));
    assert_eq!((of(200).stale_if_error, of(404).stale_if_error), (Some(seconds(60)), None));
    assert_eq!(of(404).lifetime, Some(Lifetime::Exactly(seconds(5))));
    assert_eq!(of(410).lifetime, Some(Lifetime::Exactly(seconds(2))));
    assert_eq!(of(500), Overrides::default());
    assert!(of(404).is_explicit() && !of(200).is_explicit());
    assert_eq!(Lifetime::AtLeast(seconds(3)).of(seconds(2)), seconds(3));
    assert_eq!(Lifetime::AtMost(seconds(3)).of(seconds(4)), seconds(3));
}

#[test]
fn who_knows_the_secret_may_debug() {
    let rules = Rules::builder().debug_secret(Secret::new(*b"open")).build().unwrap();
    assert!(rules.debug(&get("http://h/", &[("headwater-debug", "open")])));
    assert!(!rules.debug(&get("http://h/", &[("headwater-debug", "1")])));
    assert!(!rules.debug(&get("http://h/", &[])));
    assert!(!one(Route::on("/**")).debug(&get("http://h/", &[("headwater-debug", "")])));
}

#[test]
fn wrong_rules_are_told_in_one_sentence() {
    let told = |route| Rules::builder().route(route).build().unwrap_err().to_string();
    assert_eq!(
        told(Route::on("/a").set_response_header("content-length", "1")),
        "the route `/a` has a wrong set_response_header: `content-length` is no field that may be changed"
    );
    assert_eq!(
        told(Route::on("/a").error_ttl(200..=404, Duration::ZERO)),
        "the route `/a` has a wrong error_ttl: 200..=404 are not statuses of errors"
    );
    for route in [
        Route::on("/a").as_host("a b"),
        Route::on("/a").rewrite("a", "/b"),
        Route::on("/a").set_request_header("a b", "c"),
        Route::on("/a").set_request_header("a", "\n"),
    ] {
        assert!(Rules::builder().otherwise(route).build().is_err());
    }
    let many = (0..=MAX_ROUTES).fold(Rules::builder(), |rules, _| rules.route(Route::on("/a")));
    assert!(many.build().is_err());
    assert!(Rules::builder().device("", ["x"]).build().is_err());
}

proptest! {
    /// No parameter can change what upstream sees without changing the key (parameter cloaking).
    #[test]
    fn requests_with_one_key_ask_upstream_for_one_url(
        one in "[ab&=;%_C-M2-4]{0,12}", other in "[ab&=;%_C-M2-4]{0,12}",
        only in any::<bool>(), sorted in any::<bool>(),
    ) {
        let mut route = Route::on("/**");
        if only {
            route = route.only_parameters(["a", "C"]);
        }
        if sorted {
            route = route.sort_parameters();
        }
        let rules = super::Rules::builder().personal(["b"]).route(route).build().unwrap();
        let (first, first_url) = both(&rules, &format!("http://h/p?{one}"));
        let (second, second_url) = both(&rules, &format!("http://h/p?{other}"));
        prop_assert_eq!(first == second, first_url == second_url, "{} {}", first_url, second_url);
    }
}

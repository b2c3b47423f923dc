//! What several routes share, and what counts where two say the same.

use headwater_proto::config::Edge;
use headwater_proto::config::route::{CompressLevel, Route};

use crate::{SMALL, wrongs};

const POLICIES: &str = "
[[policy]]
name = 'live'
ttl = '2 s'
compress = false
compress_level = 'small'
error_ttl = { '404' = '1 s' }
response_headers = { set = { 'x-a' = 'live', 'x-b' = 'live' }, remove = 'x-c' }
[[policy]]
name = 'all'
ttl_at_most = '1 h'
without_parameters = 'v'
error_ttl = { '400-499' = '9 s', '500-599' = '3 s' }
response_headers = { set = { 'x-b' = 'all', 'x-c' = 'all', 'x-d' = 'all' } }
answer = { status = 200, body = 'ok' }
";

/// What holds for the last route of a site that goes by `all`.
fn resolved(route: &str) -> Route {
    let site = "policy = 'all'\n[[site.route]]\npath = '/live/'\n";
    let text = format!("{SMALL}{site}{route}{POLICIES}");
    let edge = Edge::parse("edge.toml", &text, []).unwrap_or_else(|wrongs| panic!("{wrongs}"));
    edge.resolved().sites[0].routes.last().unwrap().clone()
}

#[test]
fn the_route_counts_first_then_its_policies_then_those_of_the_site() {
    let route = resolved("policy = 'live'\ncompress = true\nonly_parameters = []\n");
    assert_eq!(route.ttl.unwrap().to_string(), "2 s");
    assert_eq!(route.ttl_at_most, None, "one of the three is said already");
    assert_eq!((route.compress, route.compress_level), (Some(true), Some(CompressLevel::Small)));
    assert_eq!(route.without_parameters, None, "only_parameters says it already");
    assert_eq!(route.cache, Some(true), "the default");
    assert_eq!(route.upstream.as_deref(), Some("media"));
    assert!(route.answer.is_some());
    let errors: Vec<String> = route.error_ttl.keys().map(ToString::to_string).collect();
    assert_eq!(errors, ["404", "500-599"]);
    let fields = &route.response_headers;
    let set: Vec<_> = fields.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(set, ["x-a=live", "x-b=live", "x-d=all"]);
    assert_eq!(fields.remove.iter().map(|name| &**name).collect::<Vec<_>>(), ["x-c"]);
}

#[test]
fn the_policies_of_a_site_hold_for_what_no_route_takes() {
    let text = format!("{SMALL}policy = ['live', 'all']\n{POLICIES}");
    let edge = Edge::parse("edge.toml", &text, []).unwrap();
    let otherwise = edge.otherwise(&edge.sites[0]);
    assert_eq!((otherwise.compress, otherwise.cache), (Some(false), Some(true)));
}

#[test]
fn a_policy_is_there_once_and_is_no_route() {
    let site = "[[site.route]]\npath = '/a/'\npolicy = ['lives', 'off']\nttl = '1 s'\n";
    let said = wrongs(&format!(
        "{SMALL}{site}[[policy]]\nname = 'live'\npath = '/x'\n[[policy]]\nname = 'live'\n\
         [[policy]]\npolicy = 'live'\n[[policy]]\nname = 'off'\ncache = false\n"
    ));
    for line in [
        "key 'policy': there is no [[policy]] 'lives'; did you mean 'live'?",
        "key 'path': a policy has no path: routes that name it have",
        "key 'name': 'live' is the name of another policy already",
        "[[policy]] needs a name",
        "key 'policy': a policy names no other: routes and sites do",
        "key 'ttl': nothing here is cached: cache is false",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[test]
fn an_answer_is_one_that_can_be_given() {
    let said = wrongs(&format!(
        "{SMALL}[[site.route]]\npath = '/a/'\nanswer = {{ location = 'elsewhere' }}\n\
         [[site.route]]\npath = '/b/'\nanswer = {{ status = 99, body = '{}' }}\n\
         [[site.route]]\npath = '/c/'\nanswer = {{ status = 200, location = '/' }}\n",
        "x".repeat((64 << 10) + 1)
    ));
    for line in [
        "an answer needs a status, such as status = 308",
        "key 'location': 'elsewhere' begins with no https://, http:// or /",
        "key 'status': 99 is not from 200 to 599",
        "key 'body': it is longer than 65536 bytes",
        "key 'location': the status is none of a redirect",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[test]
fn what_is_not_cached_is_so_under_policies_that_speak_of_what_is() {
    let text = format!(
        "{SMALL}policy = 'site'\n[[site.route]]\npath = '/api/'\ncache = false\n\
         [[policy]]\nname = 'site'\nttl = '1 h'\nstale_if_error = '1 d'\nin_slices = true\n\
         error_ttl = {{ \"404\" = '1 s' }}\n"
    );
    assert_eq!(wrongs(&text), "");
    let edge = Edge::parse("edge.toml", &text, []).unwrap().resolved();
    let route = &edge.sites[0].routes[0];
    assert_eq!((route.ttl, route.stale_if_error), (None, None));
    assert!(route.error_ttl.is_empty() && route.in_slices == Some(false));
    assert_eq!(wrongs(&edge.to_toml()), "", "what is printed can be read");
}

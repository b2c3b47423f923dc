//! Who may come in by where they come from, and whose pages may read: what is wrong with what a route
//! says of it is told by line and key.

use headwater_proto::config::Edge;

use crate::{SMALL, wrongs};

fn route(says: &str) -> String {
    format!("{SMALL}[[site.route]]\npath = '/a/'\n{says}\n")
}

#[test]
fn what_can_be_used_is_read_and_written_again() {
    let text = route(
        "methods = ['GET', 'POST']\n\
         cors = { origins = ['https://video.example', 'https://*.tv.example:8443'], credentials = true, \
         headers = 'authorization', expose = ['cmsd-dynamic'], max_age = '1 h' }\n\
         security = { hsts = '365 d', hsts_subdomains = true, hsts_preload = true, frames = 'same-origin', \
         loads = 'cross-origin', content_policy = \"default-src 'none'\", referrer_policy = 'origin' }\n\
         addresses = { allow = ['10.0.0.0/8', '::1'], deny = '10.1.2.3', allow_file = '/a', deny_file = '/b' }\n\
         countries = { only = ['DE', 'AT'] }\n\
         referrers = { hosts = ['video.example', '*.tv.example'], missing = true }\n\
         limit = ['a']\n[[limit]]\nname = 'a'\nrequests = 1\nhosts = 'video.example'\n\
         [geo]\ndatabase = '/var/lib/country.mmdb'",
    );
    let edge = Edge::parse("edge.toml", &text, []).unwrap_or_else(|wrongs| panic!("{wrongs}"));
    assert_eq!(Edge::parse("edge.toml", &edge.to_toml(), []).unwrap(), edge);
}

#[test]
fn what_cannot_is_told_by_line_and_key() {
    let geo = "[geo]\ndatabase = '/a'";
    for (says, wrong) in [
        ("methods = []", "key 'methods': no method is let in"),
        ("cors = {}", "cors needs 1 to 64 origins, such as origins = \"*\""),
        ("cors = { origins = 'video.example' }", "'video.example' is no origin of a page"),
        ("cors = { origins = ['*', 'https://a.example'] }", "'*' is any origin already"),
        ("cors = { origins = '*', credentials = true }", "browsers take no credentials"),
        ("cors = { origins = '*', max_age = '2 d' }", "2 d are more than 1 d"),
        (
            "cors = { origins = '*', credential = false }",
            "key 'credential' is unknown; did you mean 'credentials'?",
        ),
        ("security = { hsts = '4000 d' }", "key 'hsts': it is more than 3650 d"),
        ("security = { hsts_subdomains = true }", "there is no hsts"),
        ("security = { hsts = '364 d', hsts_subdomains = true, hsts_preload = true }", "365 d"),
        ("security = { frames = 'none' }", "frames"),
        ("addresses = { allow = '10.0.0.0/33' }", "'10.0.0.0/33' is neither an IP address"),
        ("addresses = { deny = 'unix' }", "key 'deny': 'unix' is no address"),
        ("addresses = { deny_file = 'a' }", "key 'deny_file': 'a' is no absolute path"),
        ("countries = { only = 'DE' }", "[geo] has no database: nobody's country is known"),
        (&format!("countries = {{}}\n{geo}"), "countries needs only or but"),
        (&format!("countries = {{ only = 'DE', but = 'FR' }}\n{geo}"), "only says it already"),
        (&format!("countries = {{ but = 'de' }}\n{geo}"), "'de' is no country"),
        ("referrers = {}", "referrers needs 1 to 256 hosts"),
        ("referrers = { hosts = '*' }", "'*' is any page"),
        ("referrers = { hosts = 'https://a.example' }", "is no host"),
    ] {
        let said = wrongs(&route(says));
        let is_placed = said.starts_with("edge.toml:1") && said.lines().count() == 1;
        assert!(said.contains(wrong) && is_placed, "{says}: {said}");
    }
    let said = wrongs(&format!("{SMALL}[geo]\ndatabase = 'a.mmdb'\n"));
    assert!(said.contains("key 'database': 'a.mmdb' is no absolute path"), "{said}");
}

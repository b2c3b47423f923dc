//! What is written out reads the same, as TOML and as JSON; and what differs is told.

use headwater_proto::config::Edge;
use proptest::prelude::*;

use crate::SMALL;

fn parse(text: &str) -> Edge {
    Edge::parse("edge.toml", text, []).unwrap_or_else(|wrongs| panic!("{wrongs}\n{text}"))
}

/// One of everything that can be said.
const FULL: &str = r#"
[server]
listen = ["[::]:443", "0.0.0.0:443"]
listen_unix = "/run/edge.sock"
workers = 2
forwarded_by = ["10.0.0.0/8", "unix"]
forwarded_field = "forwarded"
early_data_upstream = true
headers = { "x-a" = "b \" \\ c" }
[server.tls]
certificate = "edge.crt"
key = "edge.key"
[server.acme]
directory = "https://acme.example/directory"
domains = "video.example"
folder = "/var/lib/acme"
[server.limits]
max_body = "1 GiB"
[server.quic]
max_streams = 64
[cache]
name = "e1"
[cache.disk]
folder = "/var/cache/edge"
[[upstream]]
name = "media"
origins = ["https://a.example/base", "http://b.example:8080"]
host = "client"
ca = "ca.pem"
choose = "by_title"
weights = [2, 1]
priorities = [0, 1]
failover_on = ["429", "500-504"]
when_down = "refuse"
redirects = "follow"
redirects_to = "https://storage.example"
fields = { "x-a" = "b" }
field_files = { "x-secret" = "/etc/secret" }
check = { path = "/health", every = "1 s" }
tls_name = "origin.example"
whole_timeout = "1 min"
max_body = "1 GiB"
max_websockets = 64
websocket_idle_timeout = "5 min"
response_fields = ["surrogate-key"]
[[upstream]]
name = "store"
origins = "https://s3.example/bucket"
host_name = "told.example:81"
name_servers = ["10.0.0.2", "[fd00::2]:5353"]
http3 = true
sign = { region = "eu-central-1", key_id = "AKIA", secret_file = "/etc/key" }
[[upstream]]
name = "objects"
title_depth = 2
[upstream.store]
url = "s3://bucket/films"
settings = { region = "eu-central-1" }
setting_files = { secret_access_key = "/etc/key" }
environment = false
[shield]
on = true
hints_from = ["10.0.0.0/8"]
bytes_per_second = "0 B"
[[site]]
hosts = ["video.example", "*.video.example"]
upstream = "media"
personal_parameters = ["viewer"]
[site.tokens]
path = "/t/"
issuers = ["https://accounts.example"]
[[site.tokens.key]]
id = "2026"
secret_env = "SECRET"
[[site.device]]
class = "tv"
agents = ["Tizen"]
[[site.route]]
path = "/live/**/*.m3u8"
ttl_at_most = "1 s"
error_ttl = { "404" = "10 s", "500-599" = "1 s" }
only_parameters = []
rewrite = { from = "/live/", to = "/" }
request_headers = { set = { "x-b" = "c" }, remove = ["cookie"] }
response_headers = { remove = ["server"] }
cors = { origins = ["https://player.example"], credentials = true }
security = { hsts = "1 d", frames = "same-origin" }
addresses = { allow = ["10.0.0.0/8"], deny_file = "/etc/deny" }
countries = { only = ["AT", "DE"] }
referrers = { hosts = ["player.example"], missing = true }
by_device = true
[[site.route]]
path = "/api/"
policy = ["live", "vod"]
cache = false
[site.route.answer]
status = 308
location = "https://{host}{target}"
[[policy]]
name = "live"
compress = false
[[policy]]
name = "vod"
request_headers = { set = { "x-b" = "d" } }
[geo]
database = "/etc/country.mmdb"
[sessions]
on = true
reports = "/cmcd"
reports_from = ["https://player.example"]
[[limit]]
name = "a"
per = "token"
bytes_per_second = "1 MiB"
[shed]
on = true
[cmsd]
on = true
[steering]
path = "/steer"
pathways = ["a", "b"]
here = "a"
most_sessions = 1000
when_shedding = true
[operator]
listen = "127.0.0.1:9000"
token_env = "TOKEN"
[log]
access = "-"
[trace]
endpoint = "https://collector.example/base"
header_files = { authorization = "token" }
header_envs = { x-tenant = "TENANT" }
ca = "ca.pem"
[process]
hand_over_socket = "/run/next.sock"
"#;

/// What shields say that share titles: none of their routes may rewrite.
const PEERS: &str = r#"
[cache]
downstream = "caches"
[shield]
on = true
known_as = "https://shield-1.example"
peers = ["https://shield-1.example", "https://shield-2.example"]
weights = [1, 3]
ca = "ca.pem"
"#;

#[test]
fn what_is_written_out_reads_the_same() {
    for text in [SMALL, FULL, &format!("{SMALL}{PEERS}")] {
        let edge = parse(text);
        assert_eq!(parse(&edge.to_toml()), edge, "{}", edge.to_toml());
        let resolved = edge.resolved();
        assert_eq!(parse(&resolved.to_toml()), resolved, "{}", resolved.to_toml());
        assert_eq!(resolved.resolved(), resolved);
        // What a control plane pushes: the same names and values as JSON.
        let json = serde_json::to_string(&edge).unwrap();
        let pushed = serde_json::from_str::<Edge>(&json).unwrap();
        assert_eq!((&pushed, pushed.check()), (&edge, Vec::new()));
        let written: toml::Table = edge.to_toml().parse().unwrap();
        assert_eq!(serde_json::to_value(written).unwrap(), serde_json::to_value(&edge).unwrap());
    }
}

/// The page is made from the structures, and so has every table.
#[test]
fn the_document_that_is_written_out_has_every_table() {
    let document: toml::Table = FULL.parse().unwrap();
    for line in include_str!("../../../../docs/configuration.md").lines() {
        let Some(heading) = line.strip_prefix("## `") else { continue };
        let path = heading.trim_matches(['`', '[', ']']);
        let mut found = vec![&document];
        for key in path.split('.') {
            let inner = found.iter().filter_map(|table| table.get(key));
            found = inner
                .flat_map(|value| match value {
                    toml::Value::Array(all) => {
                        all.iter().filter_map(toml::Value::as_table).collect()
                    }
                    value => value.as_table().into_iter().collect::<Vec<_>>(),
                })
                .collect();
        }
        assert!(!found.is_empty(), "nothing is said in [{path}]");
    }
}

#[test]
fn defaults_are_written_out() {
    let text = parse(SMALL).to_toml();
    for line in ["ram = \"256 MiB\"", "[server.limits]", "idle_timeout = \"1 min\"", "cache = true"]
    {
        let there = text.lines().any(|one| one == line);
        assert_eq!(there, line != "cache = true", "{line} in\n{text}");
    }
}

#[test]
fn what_differs_is_told_key_by_key() {
    let one = parse(FULL);
    assert_eq!(one.changes(&one), []);
    let other = FULL
        .replace("ttl_at_most = \"1 s\"", "ttl_at_most = \"2 s\"")
        .replace("workers = 2\n", "")
        .replace("[log]\naccess = \"-\"", "[log]\nqueue = 1");
    let other = format!("{other}[[upstream]]\nname = \"b\"\norigins = \"http://b\"\n");
    let changes: Vec<String> =
        one.changes(&parse(&other)).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "log.access: \"-\" became nothing",
            "log.queue: 8192 became 1",
            "server.workers: 2 became nothing",
            "site[0].route[0].ttl_at_most: \"1 s\" became \"2 s\"",
            "upstream: 3 entries became 4 entries",
        ]
    );
}

proptest! {
    /// Lines of a good document in any order and number, some of them broken: no panic, and what is
    /// read reads the same again.
    #[test]
    fn any_lines_are_read_or_refused(
        lines in proptest::collection::vec(proptest::sample::select(FULL.lines().collect::<Vec<_>>()), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = lines.join("\n");
        let at = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(at.unwrap_or_default());
        if let Ok(edge) = Edge::parse("edge.toml", &text, []) {
            prop_assert_eq!(parse(&edge.to_toml()), edge);
        }
    }

    #[test]
    fn sizes_and_times_read_as_they_are_written(bytes: u64, millis: u64) {
        let (size, time) = (
            headwater_proto::config::quantity::Size::bytes(bytes),
            headwater_proto::config::quantity::Time::millis(millis),
        );
        prop_assert_eq!(size.to_string().parse(), Ok(size));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}

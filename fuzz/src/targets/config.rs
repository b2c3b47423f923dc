//! The configuration of an edge: what is read reads the same when it is written out, and whatever is
//! wrong is told of in a bounded number of lines.

use headwater_proto::config::{Edge, MAX_WRONGS};

/// A document with something of everything, one with faults, and none.
pub(crate) const SEEDS: &[&str] = &[
    "[server]\nlisten = ['[::]:443', 'localhost:8443']\nlisten_unix = '/run/a'\nworkers = 2\n\
     headers = { x-a = 'b' }\nforwarded_by = ['10.0.0.0/8', 'unix']\n[server.tls]\n\
     self_signed = 'localhost'\n[server.limits]\nidle_timeout = '90 s'\n[cache]\nram = '1 GiB'\n\
     [cache.disk]\nfolder = '/var/cache/a'\n[[upstream]]\nname = 'media'\n\
     origins = ['https://a.example/b', 'http://c:80']\nca = 'ca.pem'\n[[site]]\n\
     hosts = ['a.example', '*.a.example']\nupstream = 'media'\n[[site.device]]\nclass = 'tv'\n\
     agents = 'Tizen'\n[[site.route]]\npath = '/live/**/*.m3u8'\nttl_at_most = '1 s'\n\
     error_ttl = { 404 = '10 s', 500-599 = '1 s' }\nonly_parameters = []\nby_device = true\n\
     rewrite = { from = '/live/', to = '/' }\n[[site.route]]\npath = '/api/'\ncache = false\n\
     [operator]\nlisten = '127.0.0.1:9000'\ntoken_env = 'TOKEN'\n[log]\naccess = '-'\n",
    "[server]\nlistn = 1\nlisten_http = ':80'\ndrain = '10'\n[[upstream]]\norigins = 'a:b@c'\n\
     [[site]]\nhosts = 'A'\nroute = [1, { path = 'x' }]\n",
    "",
];

/// Reads the input as a document.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Edge::parse("edge.toml", text, []) {
        Ok(edge) => {
            let written = edge.to_toml();
            let again = Edge::parse("edge.toml", &written, []);
            assert_eq!(again.as_ref(), Ok(&edge), "{written}");
        }
        Err(wrongs) => {
            let count = wrongs.iter().count();
            assert!((1..=MAX_WRONGS).contains(&count), "{count} faults are told of");
        }
    }
}

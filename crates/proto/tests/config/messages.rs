//! Each way to be wrong, and the sentence that says so.

use headwater_proto::config::{Edge, MAX_WRONGS};

use crate::{SMALL, wrongs};

/// What a document with a few lines more, from line 13 on, is told.
fn more(lines: &str) -> String {
    wrongs(&format!("{SMALL}{lines}\n"))
}

/// Puts lines into `[server]`, from line 4 on.
fn server(lines: &str) -> String {
    wrongs(&SMALL.replace(
        "listen_http = \"127.0.0.1:0\"\n",
        &format!("listen_http = \"127.0.0.1:0\"\n{lines}\n"),
    ))
}

/// Puts lines into `[[upstream]]`, from line 8 on.
fn upstream(lines: &str) -> String {
    let origins = "origins = \"http://127.0.0.1:8080\"\n";
    wrongs(&SMALL.replace(origins, &format!("{origins}{lines}\n")))
}

/// A route, its keys from line 15 on.
fn route(lines: &str) -> String {
    more(&format!("\n[[site.route]]\npath = \"/live/\"\n{lines}"))
}

#[track_caller]
fn assert_says(said: &str, expected: &[&str]) {
    assert_eq!(said, expected.join("\n"));
}

#[test]
fn nothing_is_wrong_with_a_small_document() {
    assert_says(&wrongs(SMALL), &[]);
}

#[test]
fn an_unknown_key_and_what_was_meant() {
    assert_says(
        &server("listn = \"[::]:443\""),
        &["edge.toml:4: key 'listn' is unknown; did you mean 'listen'?"],
    );
    assert_says(
        &more("[serer]\nlisten = 1"),
        &["edge.toml:13: key 'serer' is unknown; did you mean 'server'?"],
    );
    let said = more("[log]\nfile = \"x\"");
    assert_says(
        &said,
        &[
            "edge.toml:14: key 'file' is unknown; there are access, format, sample, all_errors, anonymise, query, masked, queue",
        ],
    );
}

#[test]
fn all_that_is_wrong_is_said_in_the_order_of_the_lines() {
    let said = wrongs(
        "[server]\nlistn = 1\nlisten_http = \"[::]:80\"\nworkers = \"four\"\ndrain = \"10\"\n\
         [cache]\nram = \"1g\"\n[[upstream]]\nname = \"media\"\norigins = [\"htp://a\", \"b:80\"]\n\
         [[site]]\nhosts = \"*\"\nupstream = \"mdia\"\n",
    );
    assert_says(
        &said,
        &[
            "edge.toml:2: key 'listn' is unknown; did you mean 'listen'?",
            "edge.toml:4: key 'workers': it takes a whole number, not the text 'four'",
            "edge.toml:5: key 'drain': '10' is no time; did you mean '10 s'?",
            "edge.toml:7: key 'ram': '1g' is no size; did you mean '1 GiB'?",
            "edge.toml:10: key 'origins': 'htp://a' is no URL of an origin: its scheme is neither http \
             nor https",
            "edge.toml:10: key 'origins': 'b:80' is no URL of an origin; did you mean 'http://b:80'?",
            "edge.toml:13: key 'upstream': there is no [[upstream]] 'mdia'; did you mean 'media'?",
        ],
    );
}

#[test]
fn what_is_no_toml() {
    let said = wrongs("[server\nlisten = 1\n");
    assert!(said.starts_with("edge.toml:1: this is no TOML: "), "{said}");
    let twice = server("http3 = true\nhttp3 = false");
    assert!(twice.starts_with("edge.toml:5: this is no TOML: "), "{twice}");
    let long = wrongs(&format!("#{}", "x".repeat(1 << 20)));
    assert_says(&long, &["edge.toml:1: the document is longer than 1048576 bytes"]);
}

#[test]
fn what_is_of_another_kind() {
    for (lines, said) in [
        ("http3 = \"yes\"", "key 'http3': it takes true or false, not the text 'yes'"),
        (
            "workers = 70000",
            "key 'workers': it takes a whole number from 0 to 65535, not the number 70000",
        ),
        ("workers = 1.5", "key 'workers': it takes a whole number, not a number with a fraction"),
        ("drain = 10", "key 'drain': it takes a time such as \"10 s\", not the number 10"),
        (
            "methods = [\"get\"]",
            "key 'methods': 'get' is no method: they are in upper case, such as GET",
        ),
        ("tls = 1", "key 'tls': it takes a section, not the number 1"),
        (
            "forwarded_by = \"10.0.0.0/33\"",
            "key 'forwarded_by': '10.0.0.0/33' is neither an IP address, nor a network such as 10.0.0.0/8, nor unix",
        ),
        (
            "headers = { \"X-A\" = \"b\" }",
            "key 'X-A': 'X-A' is not in lower case; did you mean 'x-a'?",
        ),
    ] {
        assert_says(&server(lines), &[&format!("edge.toml:4: {said}")]);
    }
    let said = more("[server.tls]\nclients = \"requird\"");
    assert_says(
        &said,
        &["edge.toml:14: key 'clients': 'requird' is unknown; did you mean 'required'?"],
    );
}

#[test]
fn addresses_and_what_was_meant() {
    for (address, meant) in [
        ("443", "did you mean '[::]:443'?"),
        (":443", "did you mean '[::]:443'?"),
        ("example.com", "did you mean 'example.com:443'?"),
        ("::1", "did you mean '[::1]:443'?"),
        ("a b:1", "an address is ADDR:PORT, such as '[::]:443'"),
    ] {
        let said = server(&format!("listen = \"{address}\""));
        let line =
            format!("edge.toml:4: key 'listen': '{address}' is no address to listen on; {meant}");
        assert_says(&said, &[&line]);
    }
}

#[test]
fn a_server_listens_somewhere_with_a_certificate() {
    let nowhere = SMALL.replace("listen_http = \"127.0.0.1:0\"", "");
    assert_says(
        &wrongs(&nowhere),
        &["edge.toml:2: [server] listens nowhere: give it listen = \"[::]:443\", listen_http or \
           listen_unix"],
    );
    assert_says(
        &server("listen = \"[::]:443\""),
        &["edge.toml:4: key 'listen': HTTPS needs a certificate: [server.tls] gives none by \
           certificate and key, folder, or self_signed, and there is no [server.acme]"],
    );
    assert_says(
        &more("[server.tls]\ncertificate = \"a\"\nself_signed = \"localhost\""),
        &[
            "edge.toml:14: key 'certificate': its key is missing",
            "edge.toml:15: key 'self_signed': there are other certificates already",
        ],
    );
    assert_says(
        &more("[server.tls]\nkey = \"a\""),
        &["edge.toml:14: key 'key': its certificate is missing"],
    );
}

#[test]
fn an_authority_is_told_all_it_needs_and_nothing_it_refuses() {
    let acme = |lines: &str| {
        let text = more(&format!("[server.acme]\n{lines}"));
        text.lines()
            .map(|line| line.split_once(": ").map_or(line, |(_, says)| says).to_owned())
            .collect::<Vec<_>>()
    };
    let good = "directory = \"https://acme.example/dir\"\ndomains = \"a.example\"\n\
                folder = \"/var/lib/acme\"\nchallenge = \"http-01\"\n";
    assert_eq!(acme(good), Vec::<String>::new());
    for (was, is, says) in [
        ("https://acme", "http://acme", "key 'directory': this is no URL of a directory"),
        ("https://acme", "https://secret@acme", "key 'directory': this is no URL of a directory"),
        ("directory = ", "# ", "[server.acme] has no directory: whom to ask"),
        ("domains = ", "# ", "key 'directory': its domains are missing"),
        ("\"a.example\"", "\"*.a.example\"", "key 'domains': '*.a.example' is no name of a host"),
        ("\"a.example\"", "\"192.0.2.1\"", "key 'domains': '192.0.2.1' is no name of a host"),
        ("\"a.example\"", "[\"a.b\", \"a.b\"]", "key 'domains': 'a.b' is there twice"),
        ("folder = ", "# ", "key 'directory': its folder is missing"),
        ("/var/lib", "lib", "key 'folder': 'lib/acme' is no absolute path"),
        ("http-01", "tls-alpn-01", "key 'challenge': tls-alpn-01 needs listen of [server]"),
        ("http-01", "dns-01", "key 'challenge': 'dns-01' is unknown"),
        ("folder", "contact = \"me\"\nfolder", "key 'contact': 'me' is no address to write to"),
        ("folder", "eab_key_id = \"me\"\nfolder", "key 'eab_key_id': its key is missing"),
        ("folder", "eab_key_file = \"k\"\nfolder", "key 'eab_key_file': eab_key_id, whose key"),
    ] {
        let said = acme(&good.replacen(was, is, 1));
        assert!(said.iter().any(|one| one.starts_with(says)), "{says} is not in {said:?}");
        assert!(!said.iter().any(|one| one.contains("secret")), "{said:?}");
    }
}

#[test]
fn listeners_that_overlap() {
    let with =
        |lines: &str| more(&format!("[operator]\nlisten = {lines}")).replace("127.0.0.1:0", "");
    assert_eq!(with("\"127.0.0.1:0\""), "");
    let overlapping = SMALL.replace("127.0.0.1:0", "[::]:81");
    let said = wrongs(&format!("{overlapping}[operator]\nlisten = \"127.0.0.1:81\"\n"));
    assert_says(
        &said,
        &["edge.toml:14: key 'listen': '127.0.0.1:81' overlaps '[::]:81' of server.listen_http"],
    );
    let both = SMALL.replace("\"127.0.0.1:0\"", "[\"[::]:81\", \"0.0.0.0:81\"]");
    assert_says(&wrongs(&both), &[]);
    let twice = SMALL.replace("\"127.0.0.1:0\"", "[\"[::]:81\", \"[::]:81\"]");
    assert_says(
        &wrongs(&twice),
        &["edge.toml:3: key 'listen_http': '[::]:81' overlaps '[::]:81' of server.listen_http"],
    );
}

#[test]
fn an_operator_who_is_far_needs_a_token() {
    assert_says(
        &more("[operator]\nlisten = \"0.0.0.0:9000\""),
        &[
            "edge.toml:14: key 'listen': '0.0.0.0:9000' is not on loopback: the operator needs a token_file",
        ],
    );
    assert_says(&more("[operator]\nlisten = \"0.0.0.0:9000\"\ntoken_env = \"TOKEN\""), &[]);
    assert_says(
        &more("[operator]\ntoken_file = \"a\"\ntoken_env = \"B\""),
        &["edge.toml:15: key 'token_env': the token is given twice: token_file says it, too"],
    );
}

#[test]
fn sockets_have_absolute_paths_of_their_own() {
    assert_says(
        &server("listen_unix = \"edge.sock\""),
        &["edge.toml:4: key 'listen_unix': 'edge.sock' is no absolute path"],
    );
    assert_says(
        &more("[operator]\nlisten_unix = \"/run/a\"\n[process]\nhand_over_socket = \"/run/a\""),
        &["edge.toml:16: key 'hand_over_socket': another key has this socket already"],
    );
}

#[test]
fn numbers_are_within_bounds() {
    for (lines, said) in [
        ("[server.limits]\nmax_headers = 0", "key 'max_headers': 0 is not from 1 to 10000"),
        ("[server.limits]\nidle_timeout = \"0 s\"", "key 'idle_timeout': it is more than zero"),
        (
            "[server.limits]\nmax_header_bytes = \"1 KiB\"",
            "key 'max_header_bytes': 1 KiB is not from 8 KiB to 4294967295 B",
        ),
        ("[server.quic]\nmax_streams = 10001", "key 'max_streams': 10001 is not from 1 to 10000"),
        ("[cache]\nfinish_percent = 101", "key 'finish_percent': 101 is not from 0 to 100"),
        (
            "[cache]\nmax_object = \"1 GiB\"",
            "key 'max_object': 1 GiB do not fit into ram = \"256 MiB\"",
        ),
        ("[cache]\nslice = \"128 MiB\"", "key 'slice': it is more than max_object = \"64 MiB\""),
        ("[cache]\nwindow = \"1 KiB\"", "key 'window': 1 KiB is less than 128 KiB"),
        ("[cache.disk]\nsize = \"1 KiB\"", "key 'size': 1 KiB is less than 1 MiB"),
        ("[log]\nqueue = 0", "key 'queue': 0 is not from 1 to 1000000"),
    ] {
        assert_says(&more(lines), &[&format!("edge.toml:14: {said}")]);
    }
    assert_says(
        &server("workers = 513"),
        &["edge.toml:4: key 'workers': 513 is not from 1 to 512"],
    );
    assert_says(
        &server("drain = \"2 h\""),
        &["edge.toml:4: key 'drain': 2 h is not from 0 ms to 1 h"],
    );
    assert_says(
        &server("hand_over_drain = \"25 h\""),
        &["edge.toml:4: key 'hand_over_drain': 25 h is not from 0 ms to 1 d"],
    );
}

#[test]
fn upstreams_have_names_and_origins() {
    for (lines, said) in [
        ("ca = \"a.pem\"", "key 'ca': no origin of this upstream is https"),
        ("link_file = \"a\"", "key 'link_file': shield is false: there is nobody to be known by"),
        ("client_key = \"a.pem\"", "key 'client_key': its client_certificate is missing"),
        ("connect_timeout = \"0 s\"", "key 'connect_timeout': it is more than zero"),
        ("cool_off = \"1 min\"", "key 'longest_cool_off': 30 s is less than 1 min"),
        ("retry_percent = 101", "key 'retry_percent': 101 is not from 0 to 100"),
        ("successes = 0", "key 'successes': 0 is less than 1"),
        (
            "failover_on = '399'",
            "key 'failover_on': '399' are no statuses of errors: '404' is, and '500-599'",
        ),
        (
            "weights = [1]",
            "key 'weights': choose is in_turn: origins are asked in the order of origins",
        ),
        (
            "redirects_to = 'http://b'",
            "key 'redirects_to': redirects is not follow: nobody is asked elsewhere",
        ),
        ("fields = { host = 'b' }", "key 'fields': 'host' is no field that a rule may change"),
        (
            "check = { path = 'health' }",
            "key 'path': 'health' is no path: it begins with / and is written as requests are",
        ),
        ("whole_timeout = '0 s'", "key 'whole_timeout': it is more than zero"),
        ("dns_ttl = '2 h'", "key 'dns_ttl': 2 h is not from 1 s to 1 h"),
        (
            "name_servers = 'dns.example'",
            "key 'name_servers': 'dns.example' is no name server: it is an address, with a port or \
             without one, such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:5353",
        ),
        (
            "name_servers = '10.0.0.2:0'",
            "key 'name_servers': '10.0.0.2:0' is no name server: nobody answers at port 0",
        ),
        (
            "name_servers = ['::1', '10.0.0.2', '[::1]:53']",
            "key 'name_servers': '[::1]:53' is there twice",
        ),
        (
            "host = 'client'\nhost_name = 'a'",
            "key 'host_name': host is client: it is the client that says it",
        ),
        (
            "host_name = 'a/b'",
            "key 'host_name': 'a/b' is no host: it is a name or an address, with a port or without one",
        ),
        ("http3 = true", "key 'http3': no origin of this upstream is https"),
        ("websocket_idle_timeout = '0 s'", "key 'websocket_idle_timeout': it is more than zero"),
        (
            "max_websockets = -1",
            "key 'max_websockets': it takes a whole number from 0 to 4294967295, not the number -1",
        ),
        ("tls_name = 'a'", "key 'tls_name': no origin of this upstream is https"),
        ("tls_name = 'a:1'", "key 'tls_name': 'a:1' has a port: certificates are of names"),
        ("sign = { key_id = 'a', secret_env = 'S' }", "[upstream.sign] needs a region"),
        (
            "sign = { region = 'r', key_id = 'a' }",
            "[upstream.sign] needs a secret_file or a secret_env",
        ),
        ("check = { every = '0 s' }", "key 'every': it is more than zero"),
    ] {
        let said = said.to_owned();
        let line = match lines {
            _ if lines.starts_with("cool_off") => 5,
            _ if lines.starts_with("host = ") => 9,
            _ => 8,
        };
        assert_says(&upstream(lines), &[&format!("edge.toml:{line}: {said}")]);
    }
    assert_says(
        &upstream("choose = 'by_title'\nweights = [1, 2]\npriorities = [1001]"),
        &[
            "edge.toml:9: key 'weights': there are 2 of them, of 1 origins",
            "edge.toml:10: key 'priorities': 1001 is not from 0 to 1000",
        ],
    );
    // Where a list is taken, one may stand alone, a number as well.
    assert_says(&upstream("choose = 'by_title'\nweights = 7\npriorities = 0"), &[]);
    assert_says(
        &upstream("choose = 'by_title'\nweights = 1001\npriorities = -1"),
        &[
            "edge.toml:9: key 'weights': 1001 is not from 0 to 1000",
            "edge.toml:10: key 'priorities': it takes a whole number from 0 to 4294967295, not the \
             number -1",
        ],
    );
    assert_says(
        &upstream("fields = { x-a = 'b' }\nfield_files = { x-a = 'file' }"),
        &["edge.toml:9: key 'field_files': 'x-a' is among fields, too"],
    );
    let shield = SMALL.replace("8080\"", "8080/a\"\nshield = true");
    let said =
        "edge.toml:7: key 'origins': 'http://127.0.0.1:8080/a' has a path, and is a shield's";
    assert_says(&wrongs(&shield), &[said]);
    assert_says(&wrongs(&shield.replace("/a\"", "/\"")), &[]);
    assert_says(
        &more("[[upstream]]\nname = \"media\"\norigins = \"http://b\"\n[[upstream]]"),
        &[
            "edge.toml:14: key 'name': 'media' is the name of another upstream already",
            "edge.toml:16: [[upstream]] needs a name",
            "edge.toml:16: key 'origins': the upstream '' has no origins",
        ],
    );
    for (url, why) in
        [("http://a/?b", "it has a query or a fragment"), ("http://[", "it cannot be read")]
    {
        let said = wrongs(&SMALL.replace("http://127.0.0.1:8080", url));
        let line = format!("edge.toml:7: key 'origins': '{url}' is no URL of an origin: {why}");
        assert_says(&said, &[&line]);
    }
    for url in ["http://user:pw@a", "http://user:p%w@a b"] {
        let said = wrongs(&SMALL.replace("http://127.0.0.1:8080", url));
        assert!(said.contains("secrets do not stand in a configuration"), "{said}");
        assert!(!said.contains("user:p"), "{said}");
    }
}

#[test]
fn a_store_stands_in_the_place_of_origins() {
    assert_says(
        &upstream("shield = true\n[upstream.store]\nurl = 's3://b/'"),
        &[
            "edge.toml:7: key 'origins': there is a store, which is asked in their place",
            "edge.toml:8: key 'shield': a store is no shield",
        ],
    );
    let store =
        |lines: &str| wrongs(&SMALL.replace("origins = \"http://127.0.0.1:8080\"\n", lines));
    assert_says(&store("store = { url = 'az://c/p' }\n"), &[]);
    assert_says(
        &store("name_servers = '::1'\nstore = { url = 'az://c/p' }\n"),
        &["edge.toml:7: key 'name_servers': a store is found by the system's resolver"],
    );
    let no_fields = "a store is sent no fields but its own";
    let own_host = "a store is told its own host, that of its endpoint";
    let knows_us = "a store knows us by the credentials of its settings";
    for (line, says) in [
        ("redirects = 'refuse'", "those of a store are refused in any case"),
        ("fields = { x-a = 'b' }", no_fields),
        ("field_files = { x-a = 'b' }", no_fields),
        ("host = 'client'", own_host),
        ("host_name = 'a'", own_host),
        ("ca = 'a'", "the system's authorities vouch for a store"),
        ("http2 = true", "of a store, http2_only of its settings says it"),
        ("dns_ttl = '31 s'", "a store is found by the system's resolver"),
        ("tls_name = 'a'", "no origin of this upstream is https"),
        ("http3 = true", "no origin of this upstream is https"),
        ("redirects_to = 'http://a'", "redirects is not follow: nobody is asked elsewhere"),
    ] {
        let key = line.split(' ').next().unwrap();
        let said = store(&format!("{line}\nstore = {{ url = 'az://c/p' }}\n"));
        assert_says(&said, &[&format!("edge.toml:7: key '{key}': {says}")]);
    }
    assert_says(
        &store("client_certificate = 'a'\nclient_key = 'b'\nstore = { url = 'az://c/p' }\n"),
        &[
            &format!("edge.toml:7: key 'client_certificate': {knows_us}"),
            &format!("edge.toml:8: key 'client_key': {knows_us}"),
        ],
    );
    let held = "connect_timeout = '1 s'\nidle_timeout = '1 s'\nwhole_timeout = '1 s'\n\
                max_body = '1 MiB'\nresponse_fields = 'x-a'\nkeep_alive = '1 s'\nmax_idle = 1\n";
    assert_says(&store(&format!("{held}store = {{ url = 'az://c/p' }}\n")), &[]);
    assert_says(&store("store = {}\n"), &["edge.toml:7: [upstream.store] needs a url"]);
    assert_says(
        &store("store = { url = 'gs://b', settings = { a = 'b' }, setting_files = { a = 'c' } }\n"),
        &["edge.toml:7: key 'setting_files': 'a' is among settings, too"],
    );
    let said = store("store = { url = 'http://b' }\n");
    assert!(said.contains("'http://b' is no store: it is s3://BUCKET, gs://BUCKET"), "{said}");
    assert_says(
        &upstream("title_depth = 0\nload_percent = 99\nhot_requests = 0\nhot_members = 65"),
        &[
            "edge.toml:8: key 'title_depth': 0 is not from 1 to 16",
            "edge.toml:9: key 'load_percent': 99 is not from 100 to 1000",
            "edge.toml:10: key 'hot_requests': 0 is less than 1",
            "edge.toml:11: key 'hot_members': 65 is not from 1 to 64",
        ],
    );
}

#[test]
fn a_shield_knows_its_peers_and_whom_it_believes() {
    assert_says(
        &more("[shield]\non = true\nahead = 65\nshare = 0\nmap = '1 KiB'\nsilence = '0 s'"),
        &[
            "edge.toml:15: key 'ahead': 65 is not from 0 to 64",
            "edge.toml:16: key 'share': 0 is not from 1 to 100",
            "edge.toml:17: key 'map': 1 KiB is less than 1 MiB",
            "edge.toml:18: key 'silence': 0 ms is not from 1 s to 1 h",
        ],
    );
    assert_says(
        &more("[shield]\nlink_file = 'a'\nhints_from = '10.0.0.0/8'"),
        &["edge.toml:14: key 'link_file': hints_from says already who is believed"],
    );
    assert_says(
        &more("[shield]\npeers = ['http://a/b', 'http://c', 'http://c']"),
        &[
            "edge.toml:1: key 'downstream': it is clients, and peers of [shield] are told of purges",
            "edge.toml:13: [shield] needs known_as where there are peers",
            "edge.toml:14: key 'peers': 'http://a/b' has a path, and is a shield's",
            "edge.toml:14: key 'peers': 'http://c' is there twice",
        ],
    );
    let among = |keys: &str| {
        more(&format!("[cache]\ndownstream = 'caches'\n[shield]\nknown_as = 'http://a'\n{keys}"))
    };
    let both = "peers = ['http://a', 'http://b']\n";
    assert_says(&among(&format!("{both}weights = [0, 1000]")), &[]);
    assert_says(
        &among(&format!("{both}weights = [1, 1001]\nca = 'ca.pem'")),
        &[
            "edge.toml:18: key 'weights': 1001 is not from 0 to 1000",
            "edge.toml:19: key 'ca': no peer is https",
        ],
    );
    let shown = "client_certificate = 'a'\nclient_key = 'b'";
    assert_says(&among(&format!("peers = 'https://b'\n{shown}")), &[]);
    assert_says(
        &among(&format!("{both}{shown}")),
        &["edge.toml:18: key 'client_certificate': no peer is https"],
    );
    assert_says(
        &among("peers = 'https://b'\nclient_certificate = 'a'"),
        &["edge.toml:18: key 'client_certificate': its client_key is missing"],
    );
    assert_says(
        &among("peers = 'https://b'\nclient_key = 'b'"),
        &["edge.toml:18: key 'client_key': its client_certificate is missing"],
    );
    assert_says(
        &among(&format!("{both}weights = [1]")),
        &["edge.toml:18: key 'weights': there are 1 of them, of 2 peers"],
    );
    assert_says(
        &among("peers = 'https://b'\nweights = [2]\nca = 'ca.pem'"),
        &["edge.toml:18: key 'weights': known_as is not among peers: its own share is not said"],
    );
    let rewrites = "[cache]\ndownstream = 'caches'\n[shield]\nknown_as = 'http://a'\n\
                    peers = 'http://b'\n[[site.route]]\npath = '/a/'\n\
                    rewrite = { from = '/a/', to = '/' }";
    assert_says(
        &more(rewrites),
        &["edge.toml:20: key 'rewrite': a peer of [shield] would rewrite it once more"],
    );
}

#[test]
fn a_host_is_of_one_site() {
    assert_says(
        &more("[[site]]\nhosts = [\"a.example\", \"*\"]\nupstream = \"media\""),
        &["edge.toml:14: key 'hosts': '*' is a host of another site already"],
    );
    for (host, said) in [
        ("A.example", "'A.example' is not in lower case; did you mean 'a.example'?"),
        ("a.example:80", "'a.example:80' has a port: a site has its hosts on all ports"),
        ("a/b", "'a/b' is no host: it is a name, or *. and a name, or *"),
    ] {
        let said_of = more(&format!("[[site]]\nhosts = \"{host}\"\nupstream = \"media\""));
        assert_says(&said_of, &[&format!("edge.toml:14: key 'hosts': {said}")]);
    }
    assert_says(
        &more("[[site]]\nupstream = \"media\""),
        &["edge.toml:13: [[site]] has no hosts: hosts = \"*\" takes all that no other has"],
    );
    let none = SMALL.split("[[site]]").next().unwrap();
    assert_says(&wrongs(none), &["edge.toml:1: there is no [[site]]: nothing would be served"]);
}

#[test]
fn routes_can_be_reached_and_lead_somewhere() {
    assert_says(
        &route("[[site.route]]\npath = \"/live/a/*.m4s\""),
        &[
            "edge.toml:17: key 'path': '/live/a/*.m4s' is never reached: the route '/live/' before it \
           takes it",
        ],
    );
    assert_says(
        &route("upstream = \"mediaa\""),
        &["edge.toml:16: key 'upstream': there is no [[upstream]] 'mediaa'; did you mean 'media'?"],
    );
    assert_says(
        &more("\n[[site.route]]"),
        &["edge.toml:14: [[site.route]] needs a path, such as path = \"/live/\""],
    );
    let nowhere = SMALL.replace("upstream = \"media\"", "[[site.route]]\npath = \"/\"");
    assert_says(
        &wrongs(&nowhere),
        &[
            "edge.toml:11: [[site.route]] has no upstream and no answer, and its [[site]] no upstream",
        ],
    );
    for (path, why) in [
        ("live/", "it begins with /"),
        ("/a?b", "it has no query and no spaces"),
        ("/a/../b", "it has no dot segments"),
        ("/**/a/**", "** stands once and alone between slashes, and * once in a segment"),
    ] {
        let said = more(&format!("\n[[site.route]]\npath = \"{path}\""));
        let line = format!("edge.toml:15: key 'path': '{path}' is no path of a route: {why}");
        assert!(said.starts_with(&line), "{said}");
    }
    for path in ["/f%c3%a9/", "/%7Ea", "/é", "/%4", "/%zz", "/a%2Fb", "/a%3Ab"] {
        let said = more(&format!("\n[[site.route]]\npath = \"{path}\""));
        assert!(said.contains("it is written as requests are"), "{path}: {said}");
    }
    assert_says(&more("\n[[site.route]]\npath = \"/f%C3%A9/~a\""), &[]);
}

#[test]
fn rules_of_a_route_do_not_contradict_each_other() {
    for (lines, said) in [
        ("ttl = \"1 s\"\nttl_at_most = \"2 s\"", "17: key 'ttl_at_most': ttl says it already"),
        ("cache = false\nttl = \"1 s\"", "17: key 'ttl': nothing here is cached: cache is false"),
        (
            "only_parameters = []\nwithout_parameters = \"a\"",
            "17: key 'without_parameters': only_parameters says it already",
        ),
        (
            "only_parameters = \"a=b\"",
            "16: key 'only_parameters': 'a=b' is no query parameter's name",
        ),
        ("by_device = true", "16: key 'by_device': the site has no [[site.device]]"),
        (
            "error_ttl = { \"404\" = \"1 s\", \"400-499\" = \"1 s\" }",
            "16: key 'error_ttl': '404' overlaps what is before it",
        ),
        (
            "error_ttl = { \"200\" = \"1 s\" }",
            "16: key '200': '200' are no statuses of errors: '404' is, and '500-599'",
        ),
        (
            "rewrite = { from = \"a\", to = \"/\" }",
            "16: key 'rewrite': it is { from = \"/…\", to = \"/…\" }, from a path to a path",
        ),
        (
            "request_headers = { set = { host = \"a\" } }",
            "16: key 'request_headers': 'host' is no field that a rule may change",
        ),
        (
            "response_headers = { set = { a = \"b\" }, remove = \"a\" }",
            "16: key 'response_headers': 'a' is set and removed",
        ),
    ] {
        assert_says(&route(lines), &[&format!("edge.toml:{said}")]);
    }
    assert_says(
        &more("[[site.device]]\nclass = \"tv\""),
        &["edge.toml:13: [[site.device]] needs agents, texts that User-Agent holds"],
    );
}

#[test]
fn lists_whose_entries_are_compared_are_short() {
    let many =
        |one: &str| (0..65).map(|number| one.replace('#', &number.to_string())).collect::<String>();
    let listen = SMALL.replace("\"127.0.0.1:0\"", &format!("[{}]", many("'127.0.0.1:#',")));
    assert_says(&wrongs(&listen), &["edge.toml:3: key 'listen_http': 65 are more than 64"]);
    let origins =
        SMALL.replace("\"http://127.0.0.1:8080\"", &format!("[{}]", many("'http://a#',")));
    assert_says(&wrongs(&origins), &["edge.toml:7: key 'origins': 65 are more than 64"]);
    let route = "[[site.route]]\npath = '/'\n";
    let routes = (0..256).map(|number| route.replace('/', &format!("/{number}")));
    let routes = routes.collect::<String>();
    assert_says(
        &more(&routes),
        &["edge.toml:13: key 'route': it takes at most 255 [[site.route]]"],
    );
}

#[test]
fn a_document_that_is_all_wrong_is_told_so_much_and_no_more() {
    use std::fmt::Write as _;
    let mut text = String::from(SMALL);
    for number in 0..500 {
        writeln!(text, "key_{number} = {number}").unwrap();
    }
    let wrongs = Edge::parse("edge.toml", &text, []).unwrap_err();
    assert_eq!(wrongs.iter().count(), MAX_WRONGS);
}

#[test]
fn what_media_layers_cannot_do_is_said() {
    for (lines, said) in [
        (
            "[sessions]\nreports = '/cmcd'",
            "14: key 'reports': no sessions are noted: on = true is missing",
        ),
        ("[sessions]\non = true\nreports = '/c*'", "15: key 'reports': it is one path, without *"),
        (
            "[sessions]\non = true\nreports_from = 'https://a.example'",
            "15: key 'reports_from': nothing is posted without reports",
        ),
        (
            "[sessions]\non = true\nreports = '/c'\nreports_from = 'https://a.example/'",
            "16: key 'reports_from': 'https://a.example/' is no origin of a page: it is a scheme and a \
             host, without a path",
        ),
        ("[sessions]\ncapacity = 0", "14: key 'capacity': 0 is not from 1 to 1000000"),
        ("[[limit]]\nrequests = 1", "13: [[limit]] has no name"),
        (
            "[[limit]]\nname = 'a'",
            "13: [[limit]] limits nothing: it has neither requests nor bytes_per_second",
        ),
        (
            "[[limit]]\nname = 'a'\nrequests = 1\n[[limit]]\nname = 'a'\nrequests = 1",
            "17: key 'name': 'a' is the name of another [[limit]]",
        ),
        ("[[limit]]\nname = 'a'\nrequests = 0", "15: key 'requests': 0 is less than 1"),
        ("[[limit]]\nname = 'a'\nrequests = 1\nhosts = []", "16: key 'hosts': it is for no host"),
        (
            "[[limit]]\nname = 'a'\nper = 'token'\nrequests = 1",
            "15: key 'per': it holds nobody: no site that it is for has [site.tokens]",
        ),
        (
            "[[site.route]]\npath = '/a/'\nlimit = ['searc']\n[[limit]]\nname = 'search'\nrequests = 1",
            "15: key 'limit': there is no [[limit]] 'searc'; did you mean 'search'?",
        ),
        (
            "[[policy]]\nname = 'a'\nlimit = 'search'",
            "15: key 'limit': there is no [[limit]] 'search'",
        ),
        ("[shed]\ntarget = '0'", "14: key 'target': 0 ms is not from 1 ms to 10 s"),
        (
            "[steering]\npath = '/s'",
            "14: key 'path': nobody is told anything there: there are no pathways",
        ),
        (
            "[steering]\npath = '/s'\npathways = ['a', 'a']",
            "15: key 'pathways': one of them is there twice",
        ),
        (
            "[steering]\npath = '/s'\npathways = 'a'\nhere = 'b'",
            "16: key 'here': 'b' is none of the pathways",
        ),
        (
            "[steering]\npath = '/s'\npathways = 'a'\nhere = 'a'\nwhen_shedding = true",
            "17: key 'when_shedding': on = true of [shed] is missing",
        ),
    ] {
        assert_says(&more(lines), &[&format!("edge.toml:{said}")]);
    }
    let sites = SMALL.replace("\"*\"", "['video.example', '*.b.example']");
    let limit = "[[limit]]\nname = 'a'\nrequests = 1\nhosts = ['video.exampl', 'a.b.example', '*.b.example']";
    assert_says(
        &wrongs(&format!("{sites}{limit}")),
        &[
            "edge.toml:16: key 'hosts': no [[site]] has the host 'video.exampl'; did you mean 'video.example'?",
        ],
    );
    assert_says(
        &more("[sessions]\non = true\nreports = '/cmcd'\nreports_from = 'https://a.example:81'"),
        &[],
    );
}

/// Of two sites the second has tokens: whose limit is for the first alone finds no holder of one.
#[test]
fn a_limit_by_token_is_for_a_site_that_asks_for_tokens() {
    let refused = "key 'per': it holds nobody: no site that it is for has [site.tokens]";
    for (host, first, second, limit, holds) in [
        ("b.example", "", "", "", true),
        ("b.example", "", "", "hosts = 'b.example'", true),
        ("*.example", "", "", "hosts = 'b.example'", true),
        ("b.example", "", "", "hosts = 'a.example'", false),
        ("b.example", "", "[[site.route]]\npath = '/x/'\nlimit = 'held'", "", true),
        ("b.example", "[[site.route]]\npath = '/x/'\nlimit = 'held'", "", "", false),
        ("b.example", "policy = 'one'", "", "", false),
        ("b.example", "", "[[site.route]]\npath = '/x/'\npolicy = 'one'", "", true),
    ] {
        let sites = SMALL.replace("\"*\"", "\"a.example\"");
        let policy = if first.contains("policy") || second.contains("policy") {
            "[[policy]]\nname = 'one'\nlimit = 'held'\n"
        } else {
            ""
        };
        let said = wrongs(&format!(
            "{sites}{first}\n[[site]]\nhosts = '{host}'\nupstream = 'media'\n\
             [site.tokens]\n[[site.tokens.key]]\nsecret_env = 'x'\n{second}\n{policy}\
             [[limit]]\nname = 'held'\nper = 'token'\nrequests = 1\n{limit}\n"
        ));
        let as_expected = if holds { said.is_empty() } else { said.contains(refused) };
        assert!(as_expected, "{host}, {first}, {second}, {limit}: {said}");
    }
}

#[test]
fn tokens_have_keys_that_are_told_apart_and_have_one_source() {
    let tokens = |lines: &str| more(&format!("\n[site.tokens]\n{lines}"));
    let key = "[[site.tokens.key]]\nsecret_env = 'x'\n";
    assert_says(&tokens(&format!("path = '/t/'\nleeway = '5 min'\n{key}")), &[]);
    for (lines, says) in [
        ("", "[site.tokens] needs a [[site.tokens.key]]"),
        (&*format!("path = '/t'\n{key}"), "key 'path': it begins and ends with '/', such as '/t/'"),
        (&*format!("leeway = '6 min'\n{key}"), "key 'leeway': 6 min is not from 0 ms to 5 min"),
        (&*format!("parameter = ''\n{key}"), "key 'parameter': it is no query parameter's name"),
        (&*format!("cookie = 'a;b'\n{key}"), "key 'cookie': it is letters, digits, '_' and '-'"),
        ("[[site.tokens.key]]\n", "has one of secret_file, secret_env and public_key"),
        (
            &*format!("{key}secret_file = 'y'\n"),
            "has one of secret_file, secret_env and public_key",
        ),
        (&*format!("{key}{key}"), "another key of this form has the same id, or none, too"),
        ("[[site.tokens.key]]\npublic_key = 'x'\n", "tokens of the form 'signed' have a secret"),
    ] {
        let said = tokens(lines);
        assert!(said.contains(says), "{lines}: {said}");
    }
    let said = more("\n[[site.route]]\npath = '/a/'\npublic = true\n");
    assert!(said.contains("key 'public': the site has no [site.tokens]"), "{said}");
}

#[test]
fn a_collector_that_cannot_be_told() {
    let said = more("[trace]\nsample = 2000000000\nqueue = 0\ntimeout = \"0 s\"\nca = \"ca.pem\"");
    assert_says(
        &said,
        &[
            "edge.toml:14: key 'sample': 2000000000 is not from 0 to 1000000000",
            "edge.toml:15: key 'queue': 0 is not from 1 to 1000000",
            "edge.toml:16: key 'timeout': 0 ms is not from 1 ms to 1 min",
            "edge.toml:17: key 'ca': endpoint is not https",
        ],
    );
    assert_says(
        &more("[trace]\nheader_envs = { x-a = \"A\" }"),
        &["edge.toml:14: key 'header_envs': nobody is told: endpoint is missing"],
    );
    let said = more(
        "[trace]\nendpoint = \"http://c.example\"\nheader_files = { host = \"a\", x-a = \"a\" }\n\
         header_envs = { x-a = \"A\" }",
    );
    assert_says(
        &said,
        &[
            "edge.toml:15: key 'host': it is said already what this header says",
            "edge.toml:16: key 'x-a': header_files says it, too",
        ],
    );
    let seventeen: Vec<String> = (0..17).map(|n| format!("x-{n} = \"f\"")).collect();
    let lines = format!(
        "[trace]\nendpoint = \"http://c.example\"\nheader_files = {{ {} }}",
        seventeen.join(", ")
    );
    assert_says(&more(&lines), &["edge.toml:15: key 'header_files': 17 headers are more than 16"]);
    assert_says(
        &more("[trace]\nendpoint = \"collector:4318\""),
        &["edge.toml:14: key 'endpoint': 'collector:4318' is no URL of an origin; did you mean \
             'http://collector:4318'?"],
    );
}

#[test]
fn what_is_found_wrong_later_is_told_of_each_key_that_names_it() {
    let document = format!(
        "{SMALL}\n[[site.tokens.key]]\nid = 'one'\nsecret_file = 'one'\n\
         [[site.tokens.key]]\nid = 'two'\nsecret_file = 'one'\n"
    );
    let variable = ("HEADWATER__SERVER__TLS__CLIENT_CA".to_owned(), "a.pem".to_owned());
    let (_, places) = Edge::parse_placed("edge.toml", &document, [variable]).unwrap();
    let told = |named: &str| places.wrongs(places.naming(named, None, "it is bad")).to_string();
    assert_says(
        &told("one"),
        &[
            "edge.toml:16: key 'secret_file': it is bad",
            "edge.toml:19: key 'secret_file': it is bad",
        ],
    );
    assert_says(&told("a.pem"), &["HEADWATER__SERVER__TLS__CLIENT_CA: key 'client_ca': it is bad"]);
    assert_says(&told("none"), &[]);
    let of_key = places.naming("one", Some("id"), "it is bad");
    assert_says(&places.wrongs(of_key).to_string(), &["edge.toml:15: key 'id': it is bad"]);
    // What is no file's name may be found by what it is called.
    assert_says(&told("two"), &["edge.toml:18: key 'id': it is bad"]);
}

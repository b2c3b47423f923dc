//! `--check`, and what keeps an edge from starting.

use std::fs;
use std::path::Path;
use std::process::Output;

use headwater::net::Clock;
use headwater::net::server::Tls;

use crate::process::{Files, command};

const GOOD: &str = "
[server]
listen_http = '127.0.0.1:0'
[[upstream]]
name = 'media'
origins = 'http://127.0.0.1:9'
[[site]]
hosts = '*'
upstream = 'media'
";

fn check(config: &str, variables: &[(&str, &str)]) -> Output {
    let files = Files::new(config);
    command(&files, &["--check"]).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_good_file_is_printed_with_its_defaults_and_reads_the_same() {
    let said = check(GOOD, &[]);
    assert_eq!((said.status.code(), text(&said.stderr)), (Some(0), String::new()));
    let printed = text(&said.stdout);
    for line in ["ram = \"256 MiB\"", "drain = \"30 s\"", "name = \"media\""] {
        assert!(printed.lines().any(|one| one == line), "{line} is not in\n{printed}");
    }
    let again = check(&printed, &[]);
    assert_eq!(text(&again.stdout), printed);
}

#[test]
fn all_that_is_wrong_stands_on_standard_error_in_lines() {
    let config =
        GOOD.replace("listen_http", "listn").replace("upstream = 'media'", "upstream = 'x'");
    let said = check(&config, &[("HEADWATER__CACHE__RAM", "10m")]);
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), String::new()));
    assert_eq!(
        text(&said.stderr),
        "edge.toml:2: [server] listens nowhere: give it listen = \"[::]:443\", listen_http or \
         listen_unix\n\
         edge.toml:3: key 'listn' is unknown; did you mean 'listen'?\n\
         edge.toml:9: key 'upstream': there is no [[upstream]] 'x'; there are media\n\
         HEADWATER__CACHE__RAM: key 'ram': '10m' is no size; did you mean '10 MiB'?\n"
    );
}

#[test]
#[cfg(not(feature = "gcp"))]
fn a_store_that_this_program_cannot_ask_is_said() {
    let store = "store = { url = 'gs://bucket/films', settings = { bearer_token = 'a secret' } }";
    let said = check(&GOOD.replace("origins = 'http://127.0.0.1:9'", store), &[]);
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(
        text(&said.stderr),
        "edge.toml:6: key 'url': gs://bucket/films cannot be asked: this program was built without \
         the feature gcp\n"
    );
}

#[test]
fn variables_override_the_file() {
    let said = check(GOOD, &[("HEADWATER__UPSTREAM__MEDIA__ORIGINS", "http://other.example")]);
    assert!(text(&said.stdout).contains("origins = [\"http://other.example\"]"));
}

#[test]
fn what_keeps_it_from_starting_is_one_sentence() {
    let start = |config: &str| {
        let files = Files::new(config);
        let said = command(&files, &[]).output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        text(&said.stderr)
    };
    let no_file = GOOD.replace(
        "listen_http = '127.0.0.1:0'",
        "listen = '127.0.0.1:0'\ntls = { certificate = 'none.crt', key = 'none.key' }",
    );
    let said = start(&no_file);
    let missing = "edge.toml:4: key 'certificate': cannot use none.crt: No such file";
    assert!(said.starts_with(missing), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = start(&GOOD.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    assert_eq!(said, format!("error: TCP port {port} of 127.0.0.1 is already in use\n"));
    let files = Files::new(GOOD);
    std::fs::remove_file(files.path("edge.toml")).unwrap();
    let said = command(&files, &["--check"]).output().unwrap();
    assert!(text(&said.stderr).starts_with("error: the configuration edge.toml cannot be read: "));
}

#[test]
fn a_log_that_this_program_cannot_write_is_said() {
    if cfg!(feature = "qlog") {
        return;
    }
    let files = Files::new(&format!("{GOOD}[server.quic]\nqlog = '/nowhere'\n"));
    for arguments in [&["--check"][..], &[]] {
        let said = command(&files, arguments).output().unwrap();
        assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), String::new()));
        let expected =
            "edge.toml:11: key 'qlog': this program was built without the feature qlog\n";
        assert_eq!(text(&said.stderr), expected);
    }
}

/// A configuration that names every kind of file, in a folder where each is missing or is no good.
const NAMING: &str = "
[server]
listen = '127.0.0.1:0'
[server.tls]
certificate = 'own.crt'
key = 'other.key'
folder = 'certificates'
client_ca = 'text'
[server.acme]
directory = 'https://localhost/dir'
domains = 'a.example'
folder = '/nowhere/acme'
eab_key_id = 'me'
eab_key_file = 'text'
[[upstream]]
name = 'media'
origins = 'https://127.0.0.1:9'
ca = 'no authority.pem'
[[upstream]]
name = 'shield'
origins = 'https://127.0.0.1:9'
shield = true
client_certificate = 'text'
client_key = 'other.key'
[[upstream]]
name = 'linked'
origins = 'https://127.0.0.1:9'
shield = true
link_file = 'empty'
[[site]]
hosts = '*'
upstream = 'media'
[[site.tokens.key]]
id = 'a'
secret_file = 'text'
[[site.tokens.key]]
form = 'jwt'
id = 'b'
public_key = 'missing.pem'
[[site.tokens.key]]
id = 'c'
secret_env = 'NO_SUCH_VARIABLE_OF_THIS_TEST'
[operator]
token_file = 'missing'
[geo]
database = '/nowhere/geo.mmdb'
[[policy]]
name = 'listed'
addresses = { allow_file = '/nowhere/allowed', deny_file = '/nowhere/denied' }
";

#[test]
fn what_is_wrong_with_files_is_said_by_check_with_line_and_key() {
    let files = Files::new(NAMING);
    let own = tempfile::tempdir().unwrap();
    for name in ["own", "other"] {
        let folder = own.path().join(name);
        Tls::self_signed(["localhost"], Some(&folder), &Clock::system()).unwrap();
        fs::copy(folder.join("dev-cert.pem"), files.path(&format!("{name}.crt"))).unwrap();
        fs::copy(folder.join("dev-key.pem"), files.path(&format!("{name}.key"))).unwrap();
    }
    fs::write(files.path("text"), "no certificate, and no long secret").unwrap();
    fs::write(files.path("empty"), " \n").unwrap();
    fs::create_dir(files.path("certificates")).unwrap();
    let check = || command(&files, &["--check"]).output().unwrap();
    let said = check();
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), String::new()));
    let said = text(&said.stderr);
    for (at, what) in [
        (
            "edge.toml:6: key 'key': ",
            "other.key is not the private key of the certificate in own.crt",
        ),
        ("edge.toml:7: key 'folder': ", "an https address needs a certificate: none was given"),
        ("edge.toml:8: key 'client_ca': ", "text holds no certificate in PEM form"),
        ("edge.toml:14: key 'eab_key_file': ", "external account me holds no key in base64url"),
        ("edge.toml:18: key 'ca': ", "cannot use no authority.pem: No such file"),
        ("edge.toml:23: key 'client_certificate': ", "holds no certificate in PEM form"),
        ("edge.toml:29: key 'link_file': ", "the file empty holds no secret"),
        ("edge.toml:39: key 'public_key': ", "cannot use missing.pem: No such file"),
        ("edge.toml:42: key 'secret_env': ", "there is no variable NO_SUCH_VARIABLE_OF_THIS_TEST"),
        ("edge.toml:44: key 'token_file': ", "cannot use missing: No such file"),
        ("edge.toml:46: key 'database': ", "cannot use /nowhere/geo.mmdb: No such file"),
        ("edge.toml:49: key 'allow_file': ", "cannot use /nowhere/allowed: No such"),
        ("edge.toml:49: key 'deny_file': ", "cannot use /nowhere/denied: No such"),
    ] {
        let line = said.lines().find(|line| line.starts_with(at));
        assert!(line.is_some_and(|line| line.contains(what)), "{at}{what} is not in\n{said}");
    }
    // The text is long enough for a secret.
    assert!(!said.contains("edge.toml:35"), "{said}");
    let started = command(&files, &[]).output().unwrap();
    assert_eq!((started.status.code(), text(&started.stderr)), (Some(1), said));
    assert!(!Path::new("/nowhere").exists(), "nothing is made");

    fs::copy(files.path("own.key"), files.path("other.key")).unwrap();
    let said = text(&check().stderr);
    assert!(!said.contains("edge.toml:6:"), "{said}");
}

/// Groups of keys that have several faults each.
const SEVERAL: &str = "
[server]
listen = '127.0.0.1:0'
tls = { certificate = 'text', key = 'none.key' }
[[upstream]]
name = 'media'
origins = 'https://127.0.0.1:9'
ca = 'text'
client_certificate = 'none.crt'
client_key = 'text'
field_files = { x-one = 'none.one', x-two = 'newline' }
[upstream.sign]
region = 'r'
key_id = 'k'
secret_file = 'empty'
token_file = 'none.token'
[[site]]
hosts = '*'
upstream = 'media'
[trace]
endpoint = 'https://127.0.0.1:9'
ca = 'none.ca'
header_files = { authorization = 'empty' }
header_envs = { x-tenant = 'NO_SUCH_VARIABLE_OF_THIS_TEST' }
[[policy]]
name = 'listed'
addresses = { deny_file = '/nowhere/denied' }
[[policy]]
name = 'contradicting'
addresses = { allow = '192.0.2.1', deny = '192.0.2.1' }
[cache]
downstream = 'caches'
[shield]
on = true
known_as = 'http://shield.example'
peers = 'https://127.0.0.1:9'
link_file = 'empty'
ca = 'none.peers'
client_certificate = 'none.peer'
client_key = 'bare'
";

#[test]
fn each_fault_of_a_group_of_keys_is_said() {
    let files = Files::new(SEVERAL);
    fs::write(files.path("text"), "no PEM at all").unwrap();
    fs::write(files.path("newline"), "one\ntwo").unwrap();
    fs::write(files.path("bare"), "no PEM either").unwrap();
    fs::write(files.path("empty"), "").unwrap();
    let said = command(&files, &["--check"]).output().unwrap();
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), String::new()));
    let said = text(&said.stderr);
    let expected = [
        ("edge.toml:4: key 'certificate': ", "text holds no certificate in PEM form"),
        ("edge.toml:4: key 'key': ", "cannot use none.key: No such file"),
        ("edge.toml:8: key 'ca': ", "hold no certificate in PEM form"),
        ("edge.toml:9: key 'client_certificate': ", "cannot use none.crt: No such file"),
        ("edge.toml:10: key 'client_key': ", "text holds no private key in PEM form"),
        ("edge.toml:11: key 'x-one': ", "cannot use none.one: No such file"),
        ("edge.toml:11: key 'x-two': ", "the file newline holds nothing that a field can hold"),
        ("edge.toml:15: key 'secret_file': ", "the file empty holds no secret"),
        ("edge.toml:16: key 'token_file': ", "cannot use none.token: No such file"),
        ("edge.toml:22: key 'ca': ", "cannot use none.ca: No such file"),
        ("edge.toml:23: key 'authorization': ", "the file empty holds no secret"),
        ("edge.toml:24: key 'x-tenant': ", "there is no variable NO_SUCH_VARIABLE_OF_THIS_TEST"),
        ("edge.toml:27: key 'deny_file': ", "cannot use /nowhere/denied: No such file"),
        ("edge.toml:30: key 'deny': ", "192.0.2.1/32 is both allowed and denied"),
        ("edge.toml:37: key 'link_file': ", "the file empty holds no secret"),
        ("edge.toml:38: key 'ca': ", "cannot use none.peers: No such file"),
        ("edge.toml:39: key 'client_certificate': ", "cannot use none.peer: No such file"),
        ("edge.toml:40: key 'client_key': ", "bare holds no private key in PEM form"),
    ];
    for (at, what) in expected {
        let line = said.lines().find(|line| line.starts_with(at));
        assert!(line.is_some_and(|line| line.contains(what)), "{at}{what} is not in\n{said}");
    }
    let lines: std::collections::BTreeSet<&str> = said.lines().collect();
    assert_eq!(lines.len(), said.lines().count(), "none is said twice:\n{said}");
}

#[test]
fn every_bad_line_of_a_list_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let [allowed, denied] = ["allowed", "denied"].map(|name| folder.path().join(name));
    let config = format!(
        "{GOOD}[[site.route]]\npath = '/a/'\naddresses = {{ allow_file = '{}', deny_file = '{}' }}\n\
         [[policy]]\nname = 'p'\naddresses = {{ allow = ['10.0.0.1', 'here'], deny = ['there', 'unix'] }}\n",
        allowed.display(),
        denied.display(),
    );
    let files = Files::new(&config);
    fs::write(&allowed, "192.0.2.0/24\n192.0.2\n").unwrap();
    fs::write(&denied, "x\n".repeat(30)).unwrap();
    let check = || text(&command(&files, &["--check"]).output().unwrap().stderr);
    let said = check();
    for (key, value) in [("allow", "here"), ("deny", "there")] {
        let line = format!("edge.toml:15: key '{key}': '{value}' is neither an IP address, ");
        assert!(said.lines().any(|one| one.starts_with(&line)), "{line} is not in\n{said}");
    }
    files.write(&config.replace(", 'here'", "").replace("'there', 'unix'", ""));
    let (allowed, denied) = (allowed.display(), denied.display());
    assert_eq!(
        check(),
        format!(
            "edge.toml:12: key 'allow_file': cannot use {allowed}: line 2 is no address and no network such \
         as 192.0.2.0/24\n\
         edge.toml:12: key 'deny_file': cannot use {denied}: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, \
         14, 15, 16, 17, 18, 19, 20 and 10 more are no address and no network such as 192.0.2.0/24\n"
        )
    );
    fs::write(allowed.to_string(), "192.0.2.0/24\n").unwrap();
    fs::write(denied.to_string(), "192.0.2.7/24\n").unwrap();
    let both = "edge.toml:12: key 'deny_file': 192.0.2.0/24 is both allowed and denied\n";
    assert_eq!(check(), both);
}

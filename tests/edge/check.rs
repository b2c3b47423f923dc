//! `--check`, and what keeps an edge from starting.

use std::process::Output;

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
    assert!(said.starts_with("error: cannot use none.crt: "), "{said}");
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
    let said = command(&files, &[]).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    let expected = "error: server.quic.qlog: this program was built without the feature qlog\n";
    assert_eq!(text(&said.stderr), expected);
}

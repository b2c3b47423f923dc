//! Certificates of several names, and new ones on SIGHUP, as OpenSSL sees them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use headwater_net::Clock;
use headwater_net::server::Tls;

use crate::support::{Stack, binary};

/// Makes a certificate for `host` and puts it into `folder` as `name`.
fn make(folder: &Path, name: &str, host: &str) {
    let own = tempfile::tempdir().unwrap();
    Tls::self_signed([host], Some(own.path()), &Clock::system()).unwrap();
    for (from, end) in [("dev-cert.pem", "crt"), ("dev-key.pem", "key")] {
        std::fs::copy(own.path().join(from), folder.join(format!("{name}.{end}"))).unwrap();
    }
}

/// The names in the certificate that a client asking for `host` is shown.
fn names(stack: &Stack, host: &str) -> String {
    let to = stack.field("base").trim_start_matches("https://").to_owned();
    let script = "openssl s_client -connect \"$1\" -servername \"$2\" </dev/null 2>/dev/null \
                  | openssl x509 -noout -ext subjectAltName";
    let output = Command::new("sh").args(["-c", script, "sh", &to, host]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_name_is_shown_its_certificate_and_sighup_brings_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    std::fs::create_dir(&certs).unwrap();
    make(&certs, "a", "a.example");
    let certs_arg = certs.to_str().unwrap();
    // An edge alone needs no video.
    let args = ["--role", "edge", "--upstream", "http://127.0.0.1:1", "--certs", certs_arg];
    let stack = Stack::start(&dir.path().join("state"), &args);
    assert!(names(&stack, "a.example").contains("DNS:a.example"));
    let unknown = names(&stack, "b.example");
    assert!(unknown.contains("DNS:localhost") && !unknown.contains("example"), "{unknown}");

    make(&certs, "b", "b.example");
    let pid = stack.ready()["pid"].to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let begun = Instant::now();
    while !names(&stack, "b.example").contains("DNS:b.example") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the new certificate is never shown");
    }
    assert_eq!(stack.end("-TERM"), Some(0));
    let said = std::fs::read_to_string(dir.path().join("state/stderr")).unwrap();
    assert!(said.contains("certificates were read again: 3 in force"), "{said}");
}

#[test]
fn the_key_of_an_external_account_is_read_and_a_bad_one_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let start = |key: &str| {
        let stack = Command::new(binary())
            .args(["--role", "edge", "--upstream", "http://127.0.0.1:1", "--port", "0", "--state"])
            .arg(dir.path())
            .args(["--acme", "https://127.0.0.1:1/dir", "--acme-names", "a.example"])
            .args(["--acme-eab-key-id", "me", "--acme-eab-key-file"])
            .arg(dir.path().join(key))
            .output()
            .unwrap();
        assert_eq!(stack.status.code(), Some(1));
        String::from_utf8(stack.stderr).unwrap()
    };
    std::fs::write(dir.path().join("bad"), "no key").unwrap();
    let said = start("bad");
    assert!(said.contains("external account me holds no key in base64url"), "{said}");
    let said = start("none");
    assert!(said.contains("/none cannot be used: No such file"), "{said}");
}

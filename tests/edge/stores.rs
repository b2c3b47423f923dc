//! Object stores: the command before stand-ins that answer nobody who does not show what each kind of store asks
//! for, by `[upstream.store]` and by signed requests of its own (`[upstream.sign]`).

#[allow(dead_code, clippy::print_stdout, reason = "tests of the crate ask for more, and read more")]
#[path = "../../crates/origin/tests/store/s3.rs"]
mod s3;

use std::fs;
use std::net::SocketAddr;

use headwater::net::Body;
use http::Request;
use s3::{BREAKS, DRIPS, KEY_ID, REGION, S3, SECRET, content};
use tokio::runtime::Runtime;

use crate::process::{Edge, Files, command, wait_for};

/// The files of an edge before the folder `film` of a store, whose key is in one of them.
fn files(store: &S3) -> Files {
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'films'\n\
         [upstream.store]\nurl = 's3://bucket/film'\nenvironment = false\n\
         settings = {{ region = '{REGION}', endpoint = '{}', allow_http = 'true', \
         access_key_id = '{KEY_ID}' }}\nsetting_files = {{ secret_access_key = 'key' }}\n\
         [[site]]\nhosts = '*'\nupstream = 'films'\n",
        store.url()
    ));
    fs::write(files.path("key"), format!("{SECRET}\n")).unwrap();
    files
}

/// A client, whose answers are bytes and no text.
struct Client {
    runtime: Runtime,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { runtime, client: reqwest::Client::new() }
    }

    fn get(&self, addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
        let asked = self.client.get(format!("http://{addr}{path}"));
        let asked = fields.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        self.runtime.block_on(async {
            let answer = asked.send().await.unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Answer { status, headers, body: answer.bytes().await.unwrap().to_vec() }
        })
    }
}

#[test]
fn a_store_is_asked_by_signed_requests_and_what_it_has_is_kept() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let edge = Edge::start(&files(&store));
    let addr = edge.addr("http");
    let expected = content("/bucket/film/1.m4s");
    let whole = client.get(addr, "/1.m4s", &[]);
    assert_eq!(whole.status, 200, "{}", edge.said());
    assert_eq!(whole.headers["etag"], "\"v1\"");
    assert!(whole.body == expected);
    let part = client.get(addr, "/1.m4s", &[("range", "bytes=10-19")]);
    assert_eq!((part.status, &part.body[..]), (206, &expected[10..20]));
    let asked = || store.asked.lock().unwrap().clone();
    assert_eq!(asked(), ["/bucket/film/1.m4s whole"], "the second is a hit");
    // A part of what is not there yet, and what breaks off.
    let part = client.get(addr, "/2.m4s", &[("range", "bytes=-10")]);
    assert_eq!((part.status, &part.body[..]), (206, &content("/bucket/film/2.m4s")[299_990..]));
    let name = BREAKS.strip_prefix("/bucket/film").unwrap();
    let whole = client.get(addr, name, &[]);
    assert!(whole.status == 200 && whole.body == content(BREAKS));
    let of_it = asked().iter().filter(|line| line.starts_with(BREAKS)).count();
    assert!(of_it > 1, "the rest was asked for: {:?}", asked());
    // Outside the folder there is nothing, and nobody lists it.
    for path in ["/missing.m4s", "/", "/?list-type=2", "/..%2Fother/1.m4s"] {
        let answer = client.get(addr, path, &[]);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    assert!(asked().iter().all(|line| line.starts_with("/bucket/film/")), "{:?}", asked());
}

/// The environment has a time for whole requests, by its own name of `object_store`'s, which is none of ours.
#[test]
fn no_time_bounds_a_store_but_those_of_its_upstream() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let files = files(&store);
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    files.write(&text.replace("environment = false\n", ""));
    let edge = Edge::spawn(command(&files, &[]).env("AWS_TIMEOUT", "200ms"));
    let name = DRIPS.strip_prefix("/bucket/film").unwrap();
    let whole = client.get(edge.addr("http"), name, &[]);
    assert_eq!(whole.status, 200, "{}", edge.said());
    assert!(whole.body == content(DRIPS));
    let asked = store.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("{DRIPS} whole")], "in one piece, which takes a second");
}

#[test]
fn what_a_store_answers_is_held_to_the_bounds_of_its_upstream() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let files = files(&store);
    let text = fs::read_to_string(files.path("edge.toml")).unwrap();
    for (keys, status, disposition) in [
        ("", 200, "inline"),
        ("response_fields = 'x-title'\nmax_body = '300 kB'", 200, ""),
        ("max_body = '299 kB'", 502, ""),
    ] {
        files.write(&text.replace("[upstream.store]", &format!("{keys}\n[upstream.store]")));
        let edge = Edge::start(&files);
        let answer = client.get(edge.addr("http"), "/1.m4s", &[]);
        assert_eq!(answer.status, status, "{keys}: {}", edge.said());
        let said = answer.headers.get("content-disposition");
        assert_eq!(said.map_or("", |said| said.to_str().unwrap()), disposition, "{keys}");
    }
}

/// The text of an edge before a store of another kind, whose secret is in the file `secret`.
fn before(url: &str, settings: &str, secret: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'films'\n\
         [upstream.store]\nurl = '{url}'\nenvironment = false\nsettings = {{ {settings} }}\n\
         setting_files = {{ {secret} = 'secret' }}\n[[site]]\nhosts = '*'\nupstream = 'films'\n"
    )
}

/// That an edge gets objects, whole and in part, by what is in its file, and by no other secret.
fn is_asked_by(text: &str, secret: &str) {
    let client = Client::new();
    let files = Files::new(text);
    let expected = content("/bucket/film/1.m4s");
    for (secret, is_known) in [(secret, true), ("c2lnPWd1ZXNzZWQ=", false)] {
        fs::write(files.path("secret"), format!("{secret}\n")).unwrap();
        let edge = Edge::start(&files);
        let whole = client.get(edge.addr("http"), "/1.m4s", &[]);
        assert_eq!(whole.status, if is_known { 200 } else { 403 }, "{}", edge.said());
        assert!(!is_known || whole.body == expected);
        let part = client.get(edge.addr("http"), "/2.m4s", &[("range", "bytes=-10")]);
        assert_eq!(part.status, if is_known { 206 } else { 403 });
    }
}

#[cfg(feature = "gcp")]
#[test]
fn googles_store_is_asked_by_a_token_of_a_file() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let store = S3::guarded(|request| match request.headers().get("authorization") {
        Some(field) if field == "Bearer a-token" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let settings = format!("base_url = '{}'", store.url());
    is_asked_by(&before("gs://bucket/film", &settings, "bearer_token"), "a-token");
}

#[cfg(feature = "azure")]
#[test]
fn azures_store_is_asked_by_a_signature_of_a_file() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let store = S3::guarded(|request| {
        let query = request.uri().query().unwrap_or_default();
        let is_there = query.split('&').any(|one| one == "sig=made%2Belsewhere");
        if is_there { Ok(()) } else { Err(query.into()) }
    });
    let url = store.url();
    let settings = format!("endpoint = '{url}', allow_http = 'true', account_name = 'account'");
    let text = before("az://bucket/film", &settings, "sas_key");
    is_asked_by(&text, "sv=2021-08-06&sig=made%2Belsewhere");
}

/// Signed by our own client, with the token of a session, which is read again.
#[test]
fn requests_are_signed_with_the_token_of_a_session() {
    fn let_in(request: &Request<Body>) -> Result<(), String> {
        s3::verify(request)?;
        let said = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let is_signed = said("authorization").contains("x-amz-security-token");
        match said("x-amz-security-token") {
            "a-token" if is_signed => Ok(()),
            other => Err(format!("the token '{other}', signed: {is_signed}")),
        }
    }
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::guarded(let_in);
    let files = Files::new(&format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n[[upstream]]\nname = 'films'\n\
         origins = '{}/bucket/film'\n[upstream.sign]\nregion = '{REGION}'\nkey_id = '{KEY_ID}'\n\
         secret_file = 'key'\ntoken_file = 'token'\n[[site]]\nhosts = '*'\nupstream = 'films'\n",
        store.url()
    ));
    fs::write(files.path("key"), SECRET).unwrap();
    fs::write(files.path("token"), "an-old-token").unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    assert_eq!(client.get(addr, "/1.m4s", &[]).status, 403, "{}", edge.said());
    fs::write(files.path("token"), "a-token\n").unwrap();
    edge.signal("HUP");
    let mut segment = 1;
    let whole = wait_for("the new token", || {
        segment += 1;
        let answer = client.get(addr, &format!("/{segment}.m4s"), &[]);
        (answer.status == 200).then_some(answer)
    });
    assert!(whole.body == content(&format!("/bucket/film/{segment}.m4s")));
    assert!(!edge.said().contains("a-token"), "{}", edge.said());
}

#[test]
fn a_key_that_was_changed_counts_from_the_next_reload_on() {
    let client = Client::new();
    let _within = client.runtime.enter();
    let store = S3::start();
    let files = files(&store);
    fs::write(files.path("key"), "another").unwrap();
    let edge = Edge::start(&files);
    let addr = edge.addr("http");
    let refused = client.get(addr, "/1.m4s", &[]);
    assert_eq!(refused.status, 403, "{}", edge.said());
    let said = String::from_utf8(refused.body).unwrap();
    assert!(!said.contains("another") && !said.contains(KEY_ID), "{said}");
    fs::write(files.path("key"), SECRET).unwrap();
    edge.signal("HUP");
    let mut segment = 1;
    wait_for("the new key", || {
        segment += 1;
        (client.get(addr, &format!("/{segment}.m4s"), &[]).status == 200).then_some(())
    });
    assert!(!edge.said().contains(SECRET), "{}", edge.said());
}

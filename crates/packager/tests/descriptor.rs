//! Descriptors: what they make of an asset, how their mistakes are told, and that manual, schema and
//! code say the same.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "kit/schema.rs"]
mod schema;
mod shell;

use std::fs;
use std::path::Path;
use std::time::Duration;

use headwater_packager::Assets;
use serde_json::{Value, json};
use shell::{TINY, get, packager};

const MANUAL: &str = include_str!("../../../docs/descriptor.md");
const SCHEMA: &str = include_str!("../../../docs/descriptor.schema.json");

/// A key whose bytes are nowhere else, as they are and in all spellings that a program may show.
const KEY: [u8; 16] = *b"\x9f!Zk\xd3q0-~Jh\xe1wQ;\x88";

/// Whether a text shows the key, or its beginning.
fn shows_key(text: &[u8]) -> bool {
    let hex = format!("{:032x}", u128::from_be_bytes(KEY));
    let spelt = String::from_utf8_lossy(text).to_lowercase();
    text.windows(4).any(|window| window == &KEY[..4])
        || spelt.contains(&hex[..8])
        || spelt.contains("159, 33, 90")
}

/// The answer of an asset whose folder holds `files` and this descriptor.
async fn answer(dir: &Path, text: &str, path: &str) -> shell::Reply {
    fs::write(dir.join("film.headwater.json"), text).unwrap();
    let (packager, _) = packager(Assets::from_dir(dir).unwrap());
    get(&packager, &format!("/film/{path}")).await
}

/// What is said of a descriptor.
async fn told(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.mp4"), TINY).unwrap();
    fs::write(dir.path().join("b.mp4"), "no video").unwrap();
    fs::write(dir.path().join("film.key"), KEY).unwrap();
    fs::write(dir.path().join("short.key"), &KEY[1..]).unwrap();
    let reply = answer(dir.path(), text, "report.json").await;
    if reply.status == 200 {
        return "fine".to_owned();
    }
    assert_eq!(
        (reply.status.as_u16(), reply.header("content-type")),
        (422, "application/problem+json")
    );
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(!detail.contains(dir.path().to_str().unwrap()), "{detail}");
    detail
}

#[tokio::test]
async fn a_descriptor_names_tracks() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("low")).unwrap();
    fs::write(dir.path().join("film_720p.mp4"), TINY).unwrap();
    fs::write(dir.path().join("low/other.mp4"), TINY).unwrap();
    let text = json!({
        "headwater": 1,
        "target_duration_ms": 3000,
        "renditions": [{ "file": "film_720p.mp4" }, { "file": "low/other.mp4", "track": 1 }],
        "audio": [
            { "file": "film_720p.mp4", "language": "de", "name": "Deutsch", "roles": ["dub"] },
            { "file": "low/other.mp4", "default": true },
        ],
        "session_data": [{ "id": "com.example.title", "value": "A film" }],
    });
    let reply = answer(dir.path(), &text.to_string(), "report.json").await;
    let report = reply.json();
    let facts = |key: &str| -> Vec<Value> {
        report["tracks"].as_array().unwrap().iter().map(|track| track[key].clone()).collect()
    };
    assert_eq!(facts("id"), ["v1", "v2", "a1", "a2"]);
    assert_eq!(facts("source"), [0, 1, 0, 1]);
    assert_eq!(facts("language"), [json!(null), json!(null), json!("de"), json!("en")]);
    assert_eq!(facts("name")[2], "Deutsch");
    assert_eq!(facts("roles")[2], json!(["dub"]));
    assert_eq!(facts("default"), [true, false, false, true]);
    assert_eq!(report["target_duration_s"], 3);

    // Another name is another manifest, but the same segments.
    let master = answer(dir.path(), &text.to_string(), "main.m3u8").await;
    assert!(master.text().contains("Deutsch"), "{}", master.text());
    let renamed = text.to_string().replace("Deutsch", "German");
    let again = answer(dir.path(), &renamed, "main.m3u8").await;
    assert_ne!(master.header("etag"), again.header("etag"));
    let report_again = answer(dir.path(), &renamed, "report.json").await.json();
    assert_eq!(report["version"], report_again["version"]);
}

#[tokio::test]
async fn mistakes_are_told_with_line_and_key() {
    for (text, expected) in [
        ("{", "film.headwater.json:1: EOF while parsing an object"),
        ("[]", "film.headwater.json:1: invalid type: sequence, expected an object"),
        (
            "{\"headwater\": 1, \"audio\": [\n[\"a.mp4\"]]}",
            "film.headwater.json:2: audio[0]: invalid type: sequence, expected an object",
        ),
        ("{\"headwater\": 1}", "film.headwater.json:1: it names neither renditions nor audio"),
        (
            "{\"headwater\": 2}",
            "film.headwater.json:1: headwater: revision 2 is not known here, only 1",
        ),
        ("{\"renditions\": []}", "film.headwater.json:1: missing field `headwater`"),
        (
            "{\"headwater\": 1,\n\"audio\": [{\"file\": \"a.mp4\",\n\n\"langauge\": \"en\"}]}",
            "film.headwater.json:4: audio[0].langauge: unknown key `langauge`; did you mean \
             `language`?",
        ),
        (
            "{\"headwater\": 1, \"film\": 1}",
            "film.headwater.json:1: film: unknown key `film`; known are $schema, headwater, \
             target_duration_ms, renditions, audio, session_data, segment_key",
        ),
        (
            "{\"headwater\": 1,\n\"audio\": [{\"file\": \"a.mp4\",\n\"roles\": [\n\"mian\"]}]}",
            "film.headwater.json:4: audio[0].roles[0]: unknown value `mian`; did you mean `main`?",
        ),
        (
            "{\"headwater\": 1,\n\"audio\": [{\"file\": \"a.mp4\",\n\"language\": \"English!\"}]}",
            "film.headwater.json:3: audio[0].language: `English!` is no language tag such as `en` \
             or `pt-BR`",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\"target_duration_ms\": 4}",
            "film.headwater.json:2: target_duration_ms: it must lie between 100 and 3600000 \
             milliseconds",
        ),
        (
            "{\"headwater\": 1,\n\"renditions\": [{\"file\": \"a.mp4\"},\n{\n\"file\": \"c.mp4\"}]}",
            "film.headwater.json:4: renditions[1].file: there is no file c.mp4",
        ),
        (
            "{\"headwater\": 1,\n\"renditions\": [\n{\"file\": \"a.mp4\",\n\"track\": 7}]}",
            "film.headwater.json:4: renditions[0].track: a.mp4: it has no video track 7, only 1",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"},\n{\"file\": \"b.mp4\"}]}",
            "film.headwater.json:2: renditions[1].track: b.mp4: it has no video track that can be \
             carried (it is left out: the source is not an MP4 file: it starts with a box that no \
             movie starts with)",
        ),
        (
            "{\"headwater\": 1, \"audio\": [{\"file\": \"a.mp4\", \"default\": true},\n\
             {\"file\": \"a.mp4\", \"default\": true}]}",
            "film.headwater.json:2: audio[1].default: audio[0] is the default already",
        ),
        (
            "{\"headwater\": 1, \"audio\": [{\"file\": \"a.mp4\"},\n{\"file\": \"a.mp4\"}]}",
            "film.headwater.json:2: audio[1].track: a.mp4: track 2 is picked twice",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\"session_data\": [\n\
             {\"id\": \"x\"}]}",
            "film.headwater.json:3: session_data[0]: it needs either `value` or `uri`",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}]} x",
            "film.headwater.json:1: trailing characters",
        ),
        ("{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}]}", "fine"),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\"segment_key\": {\n\
             \"file\": \"none.key\"}}",
            "film.headwater.json:3: segment_key.file: there is no file none.key",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\"segment_key\": {\n\
             \"file\": \"short.key\"}}",
            "film.headwater.json:3: segment_key.file: short.key holds neither 16 bytes nor 32 \
             hexadecimal digits",
        ),
        (
            "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\"segment_key\": \
             {\"file\": \"film.key\",\n\"uri\": \"a b\"}}",
            "film.headwater.json:3: segment_key.uri: it must be a URI: 1 to 4096 letters, digits and \
             -._~:/?#[]@!$&'()*+,;=%",
        ),
    ] {
        assert_eq!(told(text).await, expected, "{text}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    for path in ["../x.mp4", "/etc/passwd", "a/../../x.mp4", "..", ".", "a//b", "a/./b", "a\\b", ""]
    {
        let text = json!({ "headwater": 1, "renditions": [{ "file": path }] }).to_string();
        let said = told(&text).await;
        assert!(said.starts_with("film.headwater.json:1: renditions[0].file: a path "), "{said}");
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.mp4"), TINY).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("real.mp4"), TINY).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink("real.mp4", dir.path().join("link.mp4")).unwrap();
    let naming =
        |file: &str| json!({ "headwater": 1, "renditions": [{ "file": file }] }).to_string();
    let reply = answer(dir.path(), &naming("out/secret.mp4"), "main.m3u8").await;
    assert_eq!(reply.status, 422);
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("out/secret.mp4 leads out of the descriptor's folder"), "{detail}");
    // A link that stays inside is a name like another.
    assert_eq!(answer(dir.path(), &naming("link.mp4"), "main.m3u8").await.status, 200);
}

/// A descriptor with a key, beside its files.
fn keyed(dir: &Path, key: &[u8], uri: Option<&str>) -> String {
    // Written once: another time of writing is another version.
    if !dir.join("a.mp4").exists() {
        fs::write(dir.join("a.mp4"), TINY).unwrap();
    }
    fs::write(dir.join("film.key"), key).unwrap();
    let renditions = json!([{ "file": "a.mp4" }]);
    let key = json!({ "file": "film.key", "uri": uri });
    json!({ "headwater": 1, "renditions": renditions, "segment_key": key }).to_string()
}

#[tokio::test]
async fn a_key_file_encrypts_and_is_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let text = keyed(dir.path(), &KEY, None);
    fs::write(dir.path().join("film.headwater.json"), &text).unwrap();
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let playlist = get(&packager, "/film/v1a1.ts.m3u8").await;
    let line = playlist.text().lines().find(|line| line.starts_with("#EXT-X-KEY:")).unwrap();
    let uri = line.split('"').nth(1).unwrap();
    let key = get(&packager, &format!("/film/{uri}")).await;
    assert_eq!((&key.body[..], key.header("cache-control")), (&KEY[..], "private, no-store"));
    let segment = playlist.text().lines().find(|line| line.ends_with("/1.ts")).unwrap();
    let segment = get(&packager, &format!("/film/{segment}")).await;
    assert!(segment.body.len() % 16 == 0 && segment.body[0] != 0x47, "encrypted");

    let report = get(&packager, "/film/report.json").await;
    let said = &report.json()["encryption"];
    assert_eq!(
        (&said["method"], &said["key_uri"], &said["key_served_by"]),
        (&json!("AES-128"), &json!(uri), &json!("packager"))
    );
    assert_eq!(report.json()["manifests"], json!(["main.m3u8"]));
    assert_eq!(report.json()["download"], json!(null));
    for path in ["", "film/report.json", "film/main.m3u8", "film/v1a1.ts.m3u8", "film/none"] {
        let reply = get(&packager, &format!("/{path}")).await;
        assert!(!shows_key(&reply.body), "{path}");
        assert!(!shows_key(format!("{:?}", reply.headers).as_bytes()), "{path}");
    }
    let presentation = packager.presentation("film").await.unwrap();
    for shown in
        [format!("{packager:?}"), format!("{presentation:#?}"), format!("{presentation:?}")]
    {
        assert!(!shows_key(shown.as_bytes()));
    }
    assert!(!shows_key(format!("{:?}", packager.metrics()).as_bytes()));
    assert!(shows_key(&key.body), "the check finds what it looks for");

    // The same key in digits.
    let other = tempfile::tempdir().unwrap();
    let digits = format!("{:032X}", u128::from_be_bytes(KEY));
    let text = keyed(other.path(), format!("{digits}\n").as_bytes(), None);
    let again = answer(other.path(), &text, "v1a1.ts.m3u8").await;
    let uri = again.text().split_once("URI=\"").unwrap().1.split('"').next().unwrap();
    assert_eq!(answer(other.path(), &text, uri).await.body, &KEY[..]);
}

#[tokio::test]
async fn the_keys_uri_is_a_persons_choice() {
    let dir = tempfile::tempdir().unwrap();
    let text = keyed(dir.path(), &KEY, Some("https://keys.example/1"));
    let playlist = answer(dir.path(), &text, "v1a1.ts.m3u8").await;
    assert!(playlist.text().contains("URI=\"https://keys.example/1\"\n"), "{}", playlist.text());
    let version = playlist.text().lines().find(|line| line.ends_with("/1.ts")).unwrap();
    let version = version.split('/').next().unwrap();
    let own = answer(dir.path(), &text, &format!("{version}/segments.key")).await;
    assert_eq!(own.status, 404, "whoever serves it, not the packager");
    let report = answer(dir.path(), &text, "report.json").await;
    assert_eq!(report.json()["encryption"]["key_served_by"], "operator");

    // Another place for the same key: the same segments, another playlist.
    let moved = keyed(dir.path(), &KEY, Some("https://keys.example/2"));
    let again = answer(dir.path(), &moved, "v1a1.ts.m3u8").await;
    assert!(again.text().contains(&format!("\n{version}/v1a1/1.ts\n")));
    assert_ne!(again.header("etag"), playlist.header("etag"));
}

#[tokio::test]
async fn another_key_is_another_version_a_second_later() {
    let dir = tempfile::tempdir().unwrap();
    let text = keyed(dir.path(), &KEY, None);
    fs::write(dir.path().join("film.headwater.json"), &text).unwrap();
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let version = async || get(&packager, "/film/report.json").await.json()["version"].clone();
    let first = version().await;
    fs::write(dir.path().join("film.key"), [7; 16]).unwrap();
    clock.advance(std::time::Duration::from_secs(2));
    assert_ne!(version().await, first);
}

#[tokio::test]
async fn a_key_that_comes_late_encrypts_what_is_served_already() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["film.mp4", "ladder_720p.mp4", "ladder_480p.mp4", "alone_720p.mp4"] {
        fs::write(dir.path().join(file), TINY).unwrap();
    }
    let named = Assets::from_files([dir.path().join("film.mp4")]).unwrap();
    let (named, named_clock) = packager(named);
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let encrypted = async |name: &str| {
        let report = get(&packager, &format!("/{name}/report.json")).await;
        assert_eq!(report.status, 200, "{name}");
        report.json()["encryption"].is_object()
    };
    for name in ["film", "ladder", "alone_720p"] {
        assert!(!encrypted(name).await, "{name}");
    }
    let key = |name: &str| dir.path().join(format!("{name}.headwater.json"));
    let text = keyed(dir.path(), &KEY, None);
    for name in ["film", "ladder", "alone"] {
        fs::write(key(name), &text).unwrap();
    }
    clock.advance(std::time::Duration::from_secs(1));
    assert!(encrypted("film").await);
    assert!(encrypted("ladder").await);
    // What the descriptor of another name took over is no asset any more.
    assert_eq!(get(&packager, "/alone_720p/report.json").await.status, 404);
    assert!(encrypted("alone").await);

    // Someone lists the assets while an editor has taken the descriptor away.
    fs::remove_file(key("film")).unwrap();
    clock.advance(std::time::Duration::from_secs(1));
    assert!(get(&packager, "/").await.text().contains("film"));
    assert!(!encrypted("film").await);
    fs::write(key("film"), &text).unwrap();
    clock.advance(std::time::Duration::from_secs(1));
    assert!(encrypted("film").await);

    // A file that was named by itself is what it is.
    named_clock.advance(std::time::Duration::from_secs(1));
    let report = get(&named, "/film/report.json").await;
    assert!(!report.json()["encryption"].is_object());
}

#[cfg(unix)]
#[tokio::test]
async fn no_key_lies_outside_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("film.key"), KEY).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = keyed(dir.path(), &KEY, None);
    fs::remove_file(dir.path().join("film.key")).unwrap();
    let target = outside.path().join("film.key");
    std::os::unix::fs::symlink(target, dir.path().join("film.key")).unwrap();
    let reply = answer(dir.path(), &text, "main.m3u8").await;
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("film.key leads out of the descriptor's folder"), "{detail}");
}

#[tokio::test]
async fn a_mended_descriptor_is_seen_a_second_later() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.mp4"), TINY).unwrap();
    let descriptor = dir.path().join("film.headwater.json");
    fs::write(&descriptor, "{").unwrap();
    let (packager, clock) = packager(Assets::from_files([&descriptor]).unwrap());
    assert_eq!(get(&packager, "/film/main.m3u8").await.status, 422);
    let text = json!({ "headwater": 1, "renditions": [{ "file": "a.mp4" }] });
    fs::write(&descriptor, text.to_string()).unwrap();
    assert_eq!(get(&packager, "/film/main.m3u8").await.status, 422, "believed for a second");
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(get(&packager, "/film/main.m3u8").await.status, 200);
}

/// The examples of the manual.
fn examples() -> Vec<Value> {
    let blocks = MANUAL.split("```json\n").skip(1);
    blocks.map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn the_manuals_examples_are_valid_and_served() {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    assert!(examples().len() >= 3);
    for example in examples() {
        schema::check(&schema, &example).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let lists = ["renditions", "audio"].into_iter();
        for entry in lists.flat_map(|list| example[list].as_array().cloned().unwrap_or_default()) {
            let path = dir.path().join(entry["file"].as_str().unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, TINY).unwrap();
        }
        if let Some(key) = example["segment_key"]["file"].as_str() {
            fs::write(dir.path().join(key), KEY).unwrap();
        }
        let reply = answer(dir.path(), &example.to_string(), "main.m3u8").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// The keys that the code knows where `text` has the unknown key `?`.
async fn known(text: &str) -> Vec<String> {
    let said = told(text).await;
    let list = said.split_once("known are ").unwrap_or_else(|| panic!("{said}")).1;
    list.split(", ").map(str::to_owned).collect()
}

#[tokio::test]
async fn schema_and_code_know_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let properties = &schema["properties"];
    let keys =
        |object: &Value| -> Vec<String> { object.as_object().unwrap().keys().cloned().collect() };
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(known("{\"?????????\": 1}").await), sorted(keys(properties)));
    for list in ["renditions", "audio", "session_data"] {
        let text = format!("{{\"headwater\": 1, \"{list}\": [{{\"?????????\": 1}}]}}");
        let ours = sorted(known(&text).await);
        assert_eq!(ours, sorted(keys(&properties[list]["items"]["properties"])), "{list}");
        for required in properties[list]["items"]["required"].as_array().unwrap() {
            let said = told(&format!("{{\"headwater\": 1, \"{list}\": [{{}}]}}")).await;
            assert!(said.ends_with(&format!("missing field `{}`", required.as_str().unwrap())));
        }
    }
    let ours = sorted(known(r#"{"headwater": 1, "segment_key": {"?????????": 1}}"#).await);
    assert_eq!(ours, sorted(keys(&properties["segment_key"]["properties"])));
    let text = r#"{"headwater": 1, "audio": [{"file": "a", "roles": ["?????????"]}]}"#;
    let roles: Vec<String> =
        serde_json::from_value(schema["$defs"]["role"]["enum"].clone()).unwrap();
    assert_eq!(known(text).await, roles);
}

#[tokio::test]
async fn schema_and_code_refuse_the_same() {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    let audio = |entry: Value| json!({ "headwater": 1, "audio": [entry] });
    let sealed = |key: Value| json!({ "headwater": 1, "renditions": [{ "file": "a.mp4" }], "segment_key": key });
    for (document, good) in [
        (json!({ "headwater": 1, "renditions": [{ "file": "a.mp4" }] }), true),
        (json!({ "headwater": 1, "renditions": [{ "file": "a.mp4", "track": null }] }), true),
        (json!({ "headwater": 1, "renditions": [], "audio": [{ "file": "a.mp4" }] }), true),
        (json!({ "headwater": 1 }), false),
        (json!({ "headwater": "1", "renditions": [{ "file": "a.mp4" }] }), false),
        (json!({ "headwater": 1, "renditions": [] }), false),
        (json!({ "headwater": 1, "renditions": [{ "track": 1 }] }), false),
        (json!({ "headwater": 1, "renditions": [{ "file": "a.mp4", "track": 0 }] }), false),
        (json!({ "headwater": 1, "renditions": [{ "file": "../a.mp4" }] }), false),
        (json!({ "headwater": 1, "renditions": [{ "file": "/a.mp4" }] }), false),
        (json!({ "headwater": 1, "renditions": [{ "file": "a//b.mp4" }] }), false),
        (json!({ "headwater": 1, "renditions": {} }), false),
        (
            audio(json!({ "file": "a.mp4", "language": "pt-BR", "name": "x", "default": true })),
            true,
        ),
        (audio(json!({ "file": "a.mp4", "language": "x" })), false),
        (audio(json!({ "file": "a.mp4", "name": " " })), false),
        (audio(json!({ "file": "a.mp4", "name": "a \"b\"" })), false),
        (audio(json!({ "file": "a.mp4", "roles": ["none"] })), false),
        (audio(json!({ "file": "a.mp4", "default": "yes" })), false),
        (audio(json!({ "file": "a.mp4", "x": 1 })), false),
        (sealed(json!(null)), true),
        (sealed(json!({ "file": "film.key" })), true),
        (sealed(json!({ "file": "film.key", "uri": null })), true),
        (
            sealed(json!({ "file": "film.key", "uri": "https://keys.example/[a]?b=%20&c='d'" })),
            true,
        ),
        (sealed(json!({ "file": "film.key", "uri": "../key-1" })), true),
        (sealed(json!({ "file": "film.key", "uri": "" })), false),
        (sealed(json!({ "file": "film.key", "uri": "a b" })), false),
        (sealed(json!({ "file": "film.key", "uri": "{$key}" })), false),
        (sealed(json!({ "file": "film.key", "uri": "schlüssel" })), false),
        (sealed(json!({ "file": "../film.key" })), false),
        (sealed(json!({ "uri": "k" })), false),
        (sealed(json!({ "file": "film.key", "key": "00" })), false),
        (sealed(json!("film.key")), false),
        (sealed(json!(["film.key", "k"])), false),
    ] {
        let theirs = schema::check(&schema, &document);
        let ours = told(&document.to_string()).await;
        assert_eq!(theirs.is_ok(), good, "{document}: {theirs:?}");
        assert_eq!(ours == "fine", good, "{document}: {ours}");
    }
}

#[tokio::test]
async fn a_key_that_a_server_keeps_is_not_given_away_by_another_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |uri| keyed(dir.path(), &KEY, uri);
    fs::write(dir.path().join("film.headwater.json"), folder(Some("https://keys.example/1")))
        .unwrap();
    let careless = "{\"headwater\": 1, \"renditions\": [{\"file\": \"a.mp4\"}],\n\
                    \"segment_key\": {\n\"file\": \"film.key\"}}";
    let reply = answer_of(dir.path(), "trailer", careless, "main.m3u8").await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    let said = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        said.contains("trailer.headwater.json:3: segment_key.file: film.headwater.json names"),
        "{said}"
    );
    // The one that keeps it is served on, and so are those that agree with it.
    let kept = folder(Some("https://keys.example/1"));
    assert_eq!(answer_of(dir.path(), "film", &kept, "main.m3u8").await.status, 200);
    let agrees = folder(Some("https://keys.example/2"));
    assert_eq!(answer_of(dir.path(), "trailer", &agrees, "main.m3u8").await.status, 200);

    // An asset's own folder, whose key one in the folder above keeps; and another key.
    let own = dir.path().join("show");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("a.mp4"), TINY).unwrap();
    fs::write(own.join("film.key"), KEY).unwrap();
    let above = agrees.replace("film.key", "show/film.key");
    fs::write(dir.path().join("trailer.headwater.json"), above).unwrap();
    fs::write(own.join("x.headwater.json"), careless).unwrap();
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    let reply = get(&packager, "/show/main.m3u8").await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().contains("trailer.headwater.json names film.key"), "{}", reply.text());
    fs::write(dir.path().join("trailer.headwater.json"), &agrees).unwrap();
    let (packager, _) = shell::packager(Assets::from_dir(dir.path()).unwrap());
    assert_eq!(get(&packager, "/show/main.m3u8").await.status, 200);
}

/// A descriptor that is wrong may be the one that keeps the key: it hides nothing.
#[tokio::test]
async fn a_descriptor_that_is_wrong_keeps_its_key_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let kept = keyed(dir.path(), &KEY, Some("https://keys.example/1"));
    fs::write(dir.path().join("other.key"), [3; 16]).unwrap();
    let careless = keyed(dir.path(), &KEY, None);
    let other_key = careless.replace("film.key", "other.key");
    let (packager, clock) = packager(Assets::from_dir(dir.path()).unwrap());
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(format!("{name}.headwater.json")), text).unwrap();
        // What was seen is believed for a second.
        clock.advance(Duration::from_secs(1));
    };
    let status = async |name: &str| {
        let reply = get(&packager, &format!("/{name}/main.m3u8")).await;
        (reply.status.as_u16(), reply.text().to_owned())
    };
    write("trailer", &careless);
    write("else", &other_key);
    for (wrong, says, other) in [
        // Unknown keys, wrong values: it keeps what it names, and nothing else.
        (kept.replace("\"uri\"", "\"url\""), "film.headwater.json names film.key", 200),
        (kept.replace("segment_key", "segment_kye"), "film.headwater.json names film.key", 200),
        (kept.replace("\"headwater\":1", "\"headwater\":2"), "names film.key", 200),
        // No JSON, as while an editor writes it: it may keep anything.
        (kept[..kept.len() / 2].to_owned(), "film.headwater.json cannot be understood", 422),
        (String::new(), "film.headwater.json cannot be understood", 422),
        (format!("{kept},"), "film.headwater.json cannot be understood", 422),
    ] {
        write("film", &wrong);
        let (code, text) = status("trailer").await;
        assert!(code == 422 && text.contains(says), "{wrong}: {code} {text}");
        assert_eq!(status("else").await.0, other, "{wrong}: another key");
    }
    // Mended so that nobody keeps it, and then so that somebody does.
    write("film", &careless);
    assert_eq!(status("trailer").await.0, 200);
    assert_eq!(status("else").await.0, 200);
    write("film", &kept);
    assert_eq!(status("trailer").await.0, 422);
    fs::remove_file(dir.path().join("film.headwater.json")).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(status("trailer").await.0, 200);
}

/// What the asset that a descriptor of this name describes answers.
async fn answer_of(dir: &Path, name: &str, text: &str, path: &str) -> shell::Reply {
    fs::write(dir.join(format!("{name}.headwater.json")), text).unwrap();
    let (packager, _) = packager(Assets::from_dir(dir).unwrap());
    get(&packager, &format!("/{name}/{path}")).await
}

//! What several sounds are for, and what an operator prefers, as playlists and MPDs say it.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod shell;

use headwater_packager::{Assets, Packager};
use m3u8_rs::AlternativeMedia;
use shell::{encode, get, packager, run};

/// A film with sounds of these languages and FFmpeg dispositions, which it writes as `kind` boxes.
fn film(dir: &std::path::Path, sounds: &[(&str, &str)]) -> Packager {
    let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i"];
    arguments.push("testsrc2=size=160x90:rate=25:duration=3");
    for _ in sounds {
        arguments.extend(["-f", "lavfi", "-i", "sine=duration=3"]);
    }
    let numbers: Vec<_> = (0..=sounds.len()).map(|number| number.to_string()).collect();
    for number in &numbers {
        arguments.extend(["-map", number]);
    }
    let said: Vec<_> = (0..sounds.len())
        .map(|n| {
            let language = (format!("-metadata:s:a:{n}"), format!("language={}", sounds[n].0));
            (language, format!("-disposition:a:{n}"), sounds[n].1)
        })
        .collect();
    for ((option, language), disposition, value) in &said {
        arguments.extend([option.as_str(), language, disposition, value]);
    }
    arguments.extend(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    let path = dir.join("film.mp4");
    arguments.push(path.to_str().unwrap());
    run("ffmpeg", &arguments);
    packager(Assets::from_dir(dir).unwrap()).0
}

async fn alternatives(packager: &Packager) -> Vec<AlternativeMedia> {
    let reply = get(packager, "/film/main.m3u8").await;
    m3u8_rs::parse_master_playlist_res(&reply.body).unwrap().alternatives
}

#[tokio::test]
async fn kinds_of_the_source_become_characteristics_and_roles() {
    let dir = tempfile::tempdir().unwrap();
    let sounds = [
        ("eng", "default"),
        ("eng", "visual_impaired"),
        ("eng", "comment"),
        ("fra", "dub"),
        ("fra", "0"),
    ];
    let packager = film(dir.path(), &sounds);
    let found: Vec<_> = alternatives(&packager)
        .await
        .into_iter()
        .map(|sound| (sound.name, sound.default, sound.autoselect, sound.characteristics))
        .collect();
    // §4.4.6.1.1: those chosen automatically differ in language or characteristics.
    let described = Some("public.accessibility.describes-video".to_owned());
    let expected = [
        ("en", true, true, None),
        ("en 2", false, true, described),
        ("en 3", false, false, None),
        ("fr", false, true, None),
        ("fr 2", false, false, None),
    ];
    let expected =
        expected.map(|(name, default, auto, says)| (name.to_owned(), default, auto, says));
    assert_eq!(found, expected);

    let mpd = get(&packager, "/film/manifest.mpd?iframes=0").await;
    let sets: Vec<_> = mpd.text().split("<AdaptationSet").skip(2).collect();
    let roles = |set: &str| -> Vec<String> {
        let values = set.split("role:2011\" value=\"").skip(1);
        values.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        sets.iter().map(|set| roles(set)).collect::<Vec<_>>(),
        [["main"], ["description"], ["commentary"], ["dub"], ["alternate"]]
    );
    let purpose =
        "<Accessibility schemeIdUri=\"urn:tva:metadata:cs:AudioPurposeCS:2007\" value=\"1\"/>";
    let told: Vec<_> = sets.iter().map(|set| set.contains(purpose)).collect();
    assert_eq!(told, [false, true, false, false, false]);
}

#[tokio::test]
async fn scores_are_said_where_all_pictures_have_one() {
    let dir = tempfile::tempdir().unwrap();
    encode(&dir.path().join("1.mp4"), "160x90", 3, 25, "100k");
    encode(&dir.path().join("2.mp4"), "320x180", 3, 25, "300k");
    for (second, scores) in [(", \"score\": 7", vec!["2", "7"]), ("", vec![])] {
        let descriptor = format!(
            "{{\"headwater\": 1, \"renditions\": [{{\"file\": \"1.mp4\", \"score\": 2}}, \
             {{\"file\": \"2.mp4\"{second}}}], \
             \"session_data\": [{{\"id\": \"com.example.title\", \"value\": \"A film\"}}]}}"
        );
        std::fs::write(dir.path().join("film.headwater.json"), descriptor).unwrap();
        let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
        let reply = get(&packager, "/film/main.m3u8").await;
        let text = reply.text();
        let tags = |name: &str| -> Vec<&str> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.split(",SCORE=").nth(1)?.split(',').next()).collect()
        };
        assert_eq!(tags("#EXT-X-STREAM-INF:"), scores, "{text}");
        assert_eq!(tags("#EXT-X-I-FRAME-STREAM-INF:"), scores, "{text}");
        let data = "\n#EXT-X-SESSION-DATA:DATA-ID=\"com.example.title\",VALUE=\"A film\"\n";
        assert!(text.contains(data), "{text}");
    }
}

/// RFC 8216bis §4.4.6.4, read by another parser.
#[tokio::test]
async fn facts_of_the_descriptor_are_session_data() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("film.mp4"), shell::TINY).unwrap();
    let descriptor = r#"{"headwater": 1, "renditions": [{"file": "film.mp4"}], "session_data": [
        {"id": "com.example.title", "value": "A film, part 2: x=y"},
        {"id": "com.example.title", "value": "Ein Film — Teil 2", "language": "de"},
        {"id": "com.example.chapters", "uri": "chapters.json?of=1,2"}]}"#;
    std::fs::write(dir.path().join("film.headwater.json"), descriptor).unwrap();
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    for path in ["/film/main.m3u8", "/film/single.m3u8", "/film/main.m3u8?container=ts"] {
        let reply = get(&packager, path).await;
        let Ok(list) = m3u8_rs::parse_master_playlist_res(&reply.body) else {
            panic!("{path}: {}", reply.text())
        };
        let facts = list.session_data.into_iter().map(|data| {
            let content = match data.field {
                m3u8_rs::SessionDataField::Value(value) => ("value", value),
                m3u8_rs::SessionDataField::Uri(uri) => ("uri", uri),
            };
            (data.data_id, content.0, content.1, data.language)
        });
        let expected = [
            ("com.example.title", "value", "A film, part 2: x=y", None),
            ("com.example.title", "value", "Ein Film — Teil 2", Some("de")),
            ("com.example.chapters", "uri", "chapters.json?of=1,2", None),
        ]
        .map(|(id, kind, content, language)| {
            (id.to_owned(), kind, content.to_owned(), language.map(str::to_owned))
        });
        assert_eq!(facts.collect::<Vec<_>>(), expected, "{path}");
    }
}

#[tokio::test]
async fn open_gops_forbid_independent_segments() {
    let dir = tempfile::tempdir().unwrap();
    for (name, gops) in [("open", "open-gop=1"), ("closed", "open-gop=0")] {
        let path = dir.path().join(format!("{name}.mp4"));
        let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i"];
        arguments.extend(["testsrc2=size=160x90:rate=25:duration=8", "-c:v", "libx264"]);
        arguments.extend(["-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", "-x264-params", gops]);
        arguments.push(path.to_str().unwrap());
        run("ffmpeg", &arguments);
    }
    let (packager, _) = packager(Assets::from_dir(dir.path()).unwrap());
    for (name, independent) in [("open", false), ("closed", true)] {
        for playlist in ["main.m3u8", "v1.m3u8"] {
            let reply = get(&packager, &format!("/{name}/{playlist}")).await;
            let said = reply.text().contains("#EXT-X-INDEPENDENT-SEGMENTS");
            assert_eq!(said, independent, "{name}: {}", reply.text());
        }
        let mpd = get(&packager, &format!("/{name}/manifest.mpd?iframes=0")).await;
        assert_eq!(mpd.text().contains("startWithSAP"), independent);
        // I-frames stand alone whatever the GOPs are.
        let iframes = get(&packager, &format!("/{name}/v1.iframes.m3u8")).await;
        assert!(iframes.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    }
}

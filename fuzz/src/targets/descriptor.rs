//! Descriptors of assets: what one decides holds together, and what is wrong with another is said
//! in a few words.

use std::path::{Component, Path};

use headwater_packager::descriptor::Descriptor;

/// The longest message about one, in bytes: strangers may see it.
const MESSAGE: usize = 4 << 10;

/// Descriptors of every kind, good and bad.
pub(crate) const SEEDS: &[&str] = &[
    r#"{"headwater":1,"renditions":[{"file":"low.mp4"},{"file":"high.mp4","track":1,"score":2}]}"#,
    r#"{"$schema":"x","headwater":1,"target_duration_ms":2000,"renditions":[{"file":"a/b.mp4"}],
        "audio":[{"file":"en.mp4","language":"en-GB","name":"English","default":true,
        "roles":["main","dub"]},{"file":"fr.mp4","track":2,"language":"fr"}]}"#,
    r#"{"headwater":1,"audio":[{"file":"a.mp4"}],"session_data":[{"id":"com.example.title",
        "value":"A film","language":"de"},{"id":"com.example.more","uri":"more.json"}]}"#,
    r#"{"headwater":1,"renditions":[{"file":"a.mp4"}],"segment_key":{"file":"a.key","uri":"k"}}"#,
    r#"{"headwater":1,"renditions":[{"file":"../a.mp4"}]}"#,
    r#"{"headwater":2,"rendition":[]}"#,
    r#"{"headwater":1,"audio":[{"file":"a.mp4","langauge":"en"}]} x"#,
];

/// Reads the input as a descriptor.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let descriptor = match Descriptor::parse("film.headwater.json", text.to_owned()) {
        Ok(descriptor) => descriptor,
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("film.headwater.json:"), "{message}");
            assert!(message.len() <= MESSAGE, "{} bytes of message", message.len());
            return;
        }
    };
    let files = descriptor.files();
    let choice = descriptor.choice();
    let picks = choice.pictures.iter().chain(&choice.sounds).flatten();
    for pick in picks {
        assert!(pick.source < files.len(), "{pick:?} is of a file that is named");
    }
    for file in &files {
        let inside = |part| matches!(part, Component::Normal(_));
        assert!(Path::new(&file.path).components().all(inside), "{file:?} leads out");
        let message = descriptor.bad_file(file, "it is not there").to_string();
        assert!(message.contains("file: it is not there"), "{message}");
    }
}

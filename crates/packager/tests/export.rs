//! Exports: the service's bytes as files, whole or not at all.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod kit;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use headwater_packager::service::{Existing, ExportError, ExportOptions, Progress};
use headwater_packager::{Forms, Packager, SegmentKey};
use kit::odd::any_file;
use kit::{make, nal};
use proptest::prelude::*;
use shell::{TINY, get, memory, packager};

/// All files below a folder, by their paths below it.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn is(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|own| own == extension)
}

async fn export(
    packager: &Packager,
    dir: &Path,
    existing: Existing,
    query: &str,
) -> Result<Progress, ExportError> {
    let mut options = ExportOptions::default();
    (options.existing, options.query) = (existing, query.to_owned());
    packager.export("film", dir, &options, &mut |_| {}).await
}

#[tokio::test]
async fn an_export_is_what_the_service_answers() {
    let (packager, _) = packager(memory("film", TINY));
    for query in ["", "iframes=0", "container=muxed"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("made/on/the/way");
        let done = export(&packager, &dir, Existing::Refuse, query).await.unwrap();
        let files = files(&dir);
        assert_eq!((done.files, done.all_files, done.kept), (files.len() as u64, done.files, 0));
        assert_eq!(done.bytes, files.values().map(|file| file.len() as u64).sum::<u64>());
        for (path, bytes) in &files {
            let is_manifest = !path.contains('/');
            let mark =
                if is_manifest && !query.is_empty() { format!("?{query}") } else { String::new() };
            let reply = get(&packager, &format!("/film/{path}{mark}")).await;
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.body == *bytes, "{path}");
        }
        // Whatever a playlist names is there.
        for (path, text) in files.iter().filter(|(path, _)| is(path, "m3u8")) {
            for line in std::str::from_utf8(text).unwrap().lines() {
                let uri = line.split_once("URI=\"").and_then(|(_, rest)| rest.split('"').next());
                let named = if line.starts_with('#') { uri } else { Some(line) };
                let Some(named) = named else { continue };
                let file = named.split('?').next().unwrap();
                assert!(files.contains_key(file), "{path} names {named}, which is not there");
            }
        }
    }
}

/// The paths that a manifest names, with those of a template filled in from the segments there are.
fn named(path: &str, text: &str, files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let quoted = |line: &str, start: &str| -> Option<String> {
        Some(line.split_once(start)?.1.split('"').next()?.to_owned())
    };
    if is(path, "m3u8") {
        let uri = |line: &str| {
            if line.starts_with('#') { quoted(line, "URI=\"") } else { Some(line.to_owned()) }
        };
        return text.lines().filter_map(uri).collect();
    }
    let mut all: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.split_once("<BaseURL>")?.1.split_once('<')?.0.to_owned()))
        .collect();
    let representations = text.lines().filter_map(|line| quoted(line, "<Representation id=\""));
    for id in representations.filter(|_| text.contains("initialization=")) {
        let template = quoted(text, "initialization=\"").unwrap();
        all.push(template.replace("$RepresentationID$", &id));
        let by_time = text.contains("$Time$") && !id.contains("iframes");
        let prefix = format!("/{id}/{}", if by_time { "t" } else { "1." });
        assert!(files.keys().any(|file| file.contains(&prefix)), "{path}: no segment of {id}");
    }
    all
}

#[tokio::test]
async fn every_form_is_exported_as_the_service_answers_it() {
    let (packager, _) = packager(memory("film", TINY));
    let forms = |segments, times, files| {
        let mut forms = Forms::default();
        (forms.segments, forms.times, forms.files) = (segments, times, files);
        forms
    };
    for (forms, download, query, expected) in [
        (forms(true, false, false), false, "container=ts", &["main.m3u8", "manifest.mpd"][..]),
        (forms(false, true, false), false, "", &["time.mpd"]),
        (forms(false, false, true), false, "", &["single.m3u8", "ondemand.mpd"]),
        (forms(false, false, false), true, "", &["download.mp4"]),
        (
            forms(true, true, true),
            true,
            "container=muxed",
            &["main.m3u8", "manifest.mpd", "time.mpd", "single.m3u8", "ondemand.mpd"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ExportOptions::default();
        (options.forms, options.download, options.query) = (forms, download, query.to_owned());
        let done = packager.export("film", dir.path(), &options, &mut |_| {}).await.unwrap();
        let files = files(dir.path());
        assert_eq!((done.files, done.all_files), (files.len() as u64, done.files));
        let kept = |path: &str| is(path, "mpd") || path == "main.m3u8" || path == "single.m3u8";
        let tops: BTreeSet<&str> =
            files.keys().map(String::as_str).filter(|path| kept(path)).collect();
        let wanted: BTreeSet<&str> = expected.iter().copied().filter(|path| kept(path)).collect();
        assert_eq!(tops, wanted);
        assert_eq!(files.contains_key("download.mp4"), download);
        for (path, bytes) in &files {
            let mark = if path.contains('/') || path == "download.mp4" { "" } else { query };
            let reply = get(&packager, &format!("/film/{path}?{mark}")).await;
            assert!(reply.status == 200 && reply.body == *bytes, "{path}");
            let text = std::str::from_utf8(bytes).ok();
            let text = text.filter(|_| is(path, "m3u8") || is(path, "mpd"));
            for file in text.map(|text| named(path, text, &files)).unwrap_or_default() {
                let file = file.split('?').next().unwrap();
                assert!(files.contains_key(file), "{path} names {file}, which is not there");
            }
        }
    }
}

#[tokio::test]
async fn a_form_that_the_asset_lacks_is_refused_and_progress_tells_of_a_long_file() {
    let mut sealed = shell::options(2);
    sealed.segment_key = SegmentKey::from_bytes(&[7; 16]).ok();
    let sealed = Packager::builder(memory("film", TINY)).options(sealed).build();
    let dir = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::default();
    (options.forms.segments, options.forms.files) = (false, true);
    let error = sealed.export("film", dir.path(), &options, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "single.m3u8: the asset has no such resource");
    let (clear, _) = packager(memory("film", TINY));
    let mut within = 0;
    let mut watch = |progress: Progress| {
        let (written, whole) = progress.current;
        assert!(written <= whole && progress.files <= progress.all_files);
        within += u64::from(written > 0);
    };
    clear.export("film", dir.path(), &options, &mut watch).await.unwrap();
    assert!(within > 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The bytes of an export are those of the plans, whatever the file.
    #[test]
    fn an_export_of_any_file_is_what_is_planned(file in any_file()) {
        let files = vec![nal::file_of_units(4, file)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (packager, _) = packager(memory("film", files[0].clone()));
            let presentation = packager.presentation("film").await.ok().unwrap();
            for query in ["", "container=muxed", "container=ts"] {
                let dir = tempfile::tempdir().unwrap();
                export(&packager, dir.path(), Existing::Refuse, query).await.unwrap();
                let exported = self::files(dir.path());
                for (path, bytes) in exported.iter().filter(|(path, _)| path.contains('/')) {
                    let resource = presentation.resource(path).unwrap();
                    let planned = make(&presentation, resource, &files);
                    assert!(planned.as_ref() == Some(bytes), "{path}");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_left_alone_unless_told() {
    let (packager, _) = packager(memory("film", TINY));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.m3u8"), "mine").unwrap();
    let refused = export(&packager, dir.path(), Existing::Refuse, "").await.unwrap_err();
    assert!(matches!(refused, ExportError::NotEmpty(_)), "{refused}");
    assert_eq!(files(dir.path()).len(), 1);

    let first = export(&packager, dir.path(), Existing::Overwrite, "").await.unwrap();
    let all = files(dir.path());
    assert_ne!(all["main.m3u8"], b"mine");
    // A segment that is cut short is written again, and nothing else of the media.
    let (cut, bytes) = all.iter().find(|(path, _)| path.ends_with("/2.m4s")).unwrap();
    fs::write(dir.path().join(cut), &bytes[..bytes.len() / 2]).unwrap();
    let again = export(&packager, dir.path(), Existing::Resume, "").await.unwrap();
    assert_eq!(files(dir.path()), all);
    let media = all.keys().filter(|path| path.contains('/')).count() as u64;
    assert_eq!((again.kept, again.bytes), (media - 1, first.bytes));
}

#[tokio::test]
async fn manifests_come_last_and_progress_is_told() {
    let (packager, _) = packager(memory("film", TINY));
    let dir = tempfile::tempdir().unwrap();
    let mut seen: Vec<Progress> = Vec::new();
    let mut orders = BTreeSet::new();
    let root = dir.path().to_owned();
    let mut watch = |progress: Progress| {
        let there = files(&root);
        let parts = there.keys().filter(|path| is(path, "part")).count();
        assert!(parts <= 1);
        let media = there.keys().any(|path| is(path, "m4s"));
        orders.insert((media, there.contains_key("main.m3u8")));
        seen.push(progress);
    };
    packager.export("film", dir.path(), &ExportOptions::default(), &mut watch).await.unwrap();
    assert!(!orders.contains(&(false, true)), "a manifest before the media");
    assert!(seen.windows(2).all(|pair| pair[0].files <= pair[1].files));
    let last = seen.last().unwrap();
    assert_eq!(last.files, last.all_files);
    assert!(files(dir.path()).keys().all(|path| !is(path, "part")));
}

#[tokio::test]
async fn what_cannot_be_exported_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _) = packager(memory("film", TINY));
    let told = |error: ExportError| error.to_string();
    let missing =
        good.export("other", dir.path(), &ExportOptions::default(), &mut |_| {}).await.unwrap_err();
    assert_eq!(told(missing), "other: there is no such asset");
    let query = export(&good, dir.path(), Existing::Refuse, "container=vhs").await.unwrap_err();
    assert!(told(query).contains("container"), "the parameter is named");
    let (bad, _) = packager(memory("film", "no film at all"));
    let bad = export(&bad, dir.path(), Existing::Refuse, "").await.unwrap_err();
    assert!(told(bad).starts_with("film: the source is not an MP4 file"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

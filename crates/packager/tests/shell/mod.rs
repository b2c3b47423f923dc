//! What the tests of the packager's shell share: requests, replies, media.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly, and each uses a part of this"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::{Body, Clock, Timestamp};
use headwater_packager::source::AnySource;
use headwater_packager::{Assets, MemorySource, Options, Packager};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tower::ServiceExt;

/// 6 s of 128x72 H.264 at 24 frames a second (a key frame each second, B-frames, an edit list) and
/// mono AAC, as FFmpeg wrote it:
///
/// ```text
/// ffmpeg -f lavfi -i testsrc=size=128x72:rate=24:duration=6
///     -f lavfi -i sine=frequency=440:sample_rate=48000:duration=6
///     -c:v libx264 -preset veryslow -crf 38 -g 24 -keyint_min 24 -sc_threshold 0 -bf 2
///     -pix_fmt yuv420p -c:a aac -b:a 24k -ac 1 -metadata:s:a:0 language=eng
///     -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact tiny.mp4
/// ```
pub const TINY: &[u8] = include_bytes!("../fixtures/tiny.mp4");

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Segments of 2 s on a clock that stands still.
pub fn packager(assets: Assets) -> (Packager, Clock) {
    let clock = Clock::manual(Timestamp::from_secs(1_000_000));
    let packager = Packager::builder(assets).clock(clock.clone()).options(options(2)).build();
    (packager, clock)
}

pub fn options(target_seconds: u64) -> Options {
    let mut options = Options::default();
    options.target_duration = Duration::from_secs(target_seconds);
    options
}

/// One asset from memory.
pub fn memory(name: &str, bytes: impl Into<Bytes>) -> Assets {
    let source = MemorySource::new(format!("{name}.mp4"), bytes);
    Assets::from_sources([(name.to_owned(), vec![AnySource::new(source)])]).unwrap()
}

/// The answer with its body not yet read.
pub async fn open(
    packager: &Packager,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    packager.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

pub async fn request(
    packager: &Packager,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Reply {
    let (parts, body) = open(packager, method, path, headers).await.into_parts();
    let body = body.collect(1 << 30).await.unwrap().to_bytes();
    Reply { status: parts.status, headers: parts.headers, body }
}

pub async fn get(packager: &Packager, path: &str) -> Reply {
    request(packager, Method::GET, path, &[]).await
}

/// The URLs of a media playlist's init segment and segments, below `/{asset}/`.
pub async fn segment_urls(packager: &Packager, asset: &str, track: &str) -> Vec<String> {
    let playlist = get(packager, &format!("/{asset}/{track}.m3u8")).await;
    assert_eq!(playlist.status, 200, "{}", playlist.text());
    let text = playlist.text();
    let map = text.split_once("#EXT-X-MAP:URI=\"").unwrap().1.split_once('"').unwrap().0;
    std::iter::once(map)
        .chain(text.lines().filter(|line| !line.starts_with('#')))
        .map(|url| format!("/{asset}/{url}"))
        .collect()
}

/// The folder of media that is not in the repository.
pub fn media() -> Option<PathBuf> {
    let media = std::env::var_os("HEADWATER_MEDIA").map(PathBuf::from);
    if media.is_none() {
        eprintln!("skipped: HEADWATER_MEDIA is unset");
    }
    media
}

/// Runs a tool to its end and gives what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Encodes a test picture and tone: `seconds` of `size` at 25 frames a second with a key frame
/// each `gop` frames.
pub fn encode(path: &Path, size: &str, seconds: u32, gop: u32, rate: &str) {
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let gop = gop.to_string();
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &picture];
    arguments.extend(["-f", "lavfi", "-i", &tone]);
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", &gop]);
    arguments.extend(["-keyint_min", &gop, "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-b:v", rate, "-c:a", "aac", "-b:a", "64k", path.to_str().unwrap()]);
    run("ffmpeg", &arguments);
}

/// Writes a whole presentation below `dir` through the service, and gives the asset's folder.
pub async fn export(packager: &Packager, name: &str, dir: &Path) -> PathBuf {
    let presentation = match packager.presentation(name).await {
        Ok(presentation) => presentation,
        Err(problem) => panic!("{name}: {:?}", problem.into_response()),
    };
    let folder = dir.join(name);
    for resource in presentation.resources() {
        let path = presentation.path(resource);
        let url = format!("/{}/{path}", headwater_packager::assets::encode_name(name));
        let reply = get(packager, &url).await;
        assert_eq!(reply.status, 200, "{url}: {}", String::from_utf8_lossy(&reply.body));
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &reply.body).unwrap();
    }
    folder
}

//! What the tests of whole presentations share: FFmpeg, and the packager as something to fetch
//! from.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may fail loudly, and not every test uses everything"
)]

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use headwater_conform::{Answer, Fetch, FetchError, Level, Report, Url};
use headwater_net::Body;
use headwater_packager::Packager;
use http::{Request, header};
use tower::ServiceExt;

/// Runs FFmpeg; `false` and a word where it is not installed.
pub fn ffmpeg(arguments: &[&str]) -> bool {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-threads", "1"])
        .args(arguments)
        .output();
    let Ok(done) = run else {
        eprintln!("skipped: ffmpeg is not installed");
        return false;
    };
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ffmpeg {arguments:?}: {words}");
    true
}

/// Encodes `seconds` of a moving picture with B-frames and a key frame each `gop` frames at 25 a
/// second, with a stereo tone.
pub fn encode(path: &Path, size: &str, seconds: u32, gop: u32, rate: &str) -> bool {
    let picture = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let gop = gop.to_string();
    let mut arguments = vec!["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", &gop]);
    arguments.extend(["-keyint_min", &gop, "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    arguments.extend(["-b:v", rate, "-c:a", "aac", "-ac", "2", "-b:a", "64k"]);
    arguments.extend(["-metadata:s:a:0", "language=eng", path.to_str().unwrap()]);
    ffmpeg(&arguments)
}

/// The packager, called directly.
pub struct Ours {
    pub packager: Packager,
    runtime: tokio::runtime::Runtime,
}

/// Where it pretends to be.
pub const HOST: &str = "http://packager.test";

impl Ours {
    pub fn new(packager: Packager) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { packager, runtime }
    }

    /// Whether there is something at a path.
    pub fn has(&mut self, path: &str) -> bool {
        self.get(&Url::parse(&format!("{HOST}{path}")).unwrap(), None, 1 << 30).is_ok()
    }
}

impl Fetch for Ours {
    fn get(
        &mut self,
        url: &Url,
        range: Option<Range<u64>>,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::get(format!("{}{query}", url.path()));
        if let Some(range) = &range {
            request =
                request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = self.runtime.block_on(async {
            let (parts, body) = self.packager.clone().oneshot(request).await.unwrap().into_parts();
            let bytes = body.collect(1 << 30).await.unwrap().to_bytes();
            (parts, bytes)
        });
        let (parts, bytes) = answer;
        if !parts.status.is_success() {
            return Err(FetchError::Status(parts.status.as_u16()));
        }
        if bytes.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        // Whether it would have been gzipped is the business of the packager's own tests.
        let gzipped = Some(parts.headers.contains_key(header::VARY));
        Ok(Answer { bytes, content_type, gzipped, redirects: 0, total: None })
    }
}

/// The ids of broken rules of a level.
pub fn broken(report: &Report, level: Level) -> Vec<&'static str> {
    report
        .broken()
        .map(|row| row.rule)
        .filter(|rule| rule.level == level)
        .map(|rule| rule.id)
        .collect()
}

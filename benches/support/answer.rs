//! A segment of the title answered whole by the packager, and its ranges by plain reads.
#![allow(dead_code, reason = "each bench takes what it needs")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;

use headwater::net::Body;
use headwater::packager::{Assets, Options, Packager, Part, Plan};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::Service;

/// A packager of one file.
pub fn packager(runtime: &Runtime, path: &Path, options: Options) -> Packager {
    runtime.block_on(async {
        Packager::builder(Assets::from_files([path.to_owned()]).unwrap()).options(options).build()
    })
}

/// The bytes of one whole answer, taken frame by frame as a connection would.
pub async fn answer(mut packager: Packager, uri: &str) -> u64 {
    let response = packager.call(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = Pin::new(Box::new(response.into_body()));
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().map_or(0, |data| black_box(data).len() as u64);
    }
    received
}

/// Where a media playlist of `title.mp4` says that the segment in a file of this name is.
pub fn segment_uri(runtime: &Runtime, packager: &Packager, playlist: &str, file: &str) -> String {
    runtime.block_on(async {
        let request = Request::get(format!("/title/{playlist}")).body(Body::empty()).unwrap();
        let response = packager.clone().call(request).await.unwrap();
        let text = response.into_body().collect(16 << 20).await.unwrap();
        let text = String::from_utf8(text.to_bytes().to_vec()).unwrap();
        let line = text.lines().find(|line| line.ends_with(&format!("/{file}"))).unwrap();
        format!("/title/{line}")
    })
}

/// Reads what a plan is made of, range by range into one buffer: the least that any server could
/// do. How many bytes that were.
pub fn read_inputs(file: &File, plan: &Plan, buffer: &mut [u8]) -> u64 {
    let mut received = 0;
    for input in plan.parts.iter().flat_map(Part::inputs) {
        let (mut at, end) = (input.range.start, input.range.end());
        while at < end {
            let len = usize::try_from(end - at).unwrap().min(buffer.len());
            file.read_exact_at(&mut buffer[..len], at).unwrap();
            black_box(&buffer[..len]);
            at += len as u64;
            received += len as u64;
        }
    }
    received
}

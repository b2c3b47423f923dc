//! How many bytes are read for those that are sent, from a file as FFmpeg interleaves it.

#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may fail loudly, and this one tells what it measured"
)]

mod shell;

use headwater_packager::Assets;
use shell::{get, packager, segment_urls};

#[tokio::test]
async fn at_most_1_05_bytes_are_read_for_each_that_is_sent() {
    // Pictures that are small beside the sound are the harder case; large ones the common.
    for (size, rate) in [("128x72", "60k"), ("640x360", "1M"), ("1280x720", "6M")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        shell::encode(&path, size, 12, 50, rate);
        let (packager, _) = packager(Assets::from_files([path]).unwrap());
        let mut all_reads = Vec::new();
        for track in ["v1", "a1", "v1a1"] {
            let urls = segment_urls(&packager, "film", track).await;
            let metrics = packager.metrics();
            let before = (
                metrics.source_read_bytes.get(),
                metrics.sent_bytes.get(),
                metrics.source_reads.get(),
            );
            for url in &urls {
                assert_eq!(get(&packager, url).await.status, 200);
            }
            let read = metrics.source_read_bytes.get() - before.0;
            let sent = metrics.sent_bytes.get() - before.1;
            let reads = metrics.source_reads.get() - before.2;
            assert!(read * 100 <= sent * 105, "{size} {track}: {read} bytes read for {sent} sent");
            println!(
                "{size} {track}: {:.3} bytes read for each sent, {:.1} reads a segment",
                read as f64 / sent as f64,
                reads as f64 / (urls.len() - 1) as f64
            );
            assert_eq!(metrics.copied_bytes.get(), 0, "{track} was copied in user space");
            all_reads.push(reads);
        }
        // They lie side by side in the file, and so they do in a segment of both.
        let [video, audio, both] = all_reads[..] else { panic!("three were read") };
        assert!(both * 2 <= video + audio, "{size}: {both} reads for {video} and {audio} alone");
    }
}

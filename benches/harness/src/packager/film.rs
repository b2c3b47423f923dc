//! The film that is packaged, and its pages in the kernel's cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::Result;

/// Seconds of it.
const SECONDS: u32 = 60;

/// The film in `cache`, made first if it is not there: 1920x1080 at 30 frames a second, 5 Mbit/s
/// of H.264 with a key frame every 2 s, AAC of 128 kbit/s, interleaved as FFmpeg does, the `moov`
/// in front.
///
/// # Errors
/// When there is no `ffmpeg`, or it fails.
pub fn film(cache: &Path) -> Result<PathBuf> {
    let path = cache.join(format!("packager-film-{SECONDS}s.mp4"));
    if path.is_file() {
        return Ok(path);
    }
    std::fs::create_dir_all(cache)?;
    let partial = path.with_extension("partial.mp4");
    let picture = format!("testsrc2=size=1920x1080:rate=30:duration={SECONDS}");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={SECONDS}");
    let rate = ["-b:v", "5M", "-minrate", "5M", "-maxrate", "5M", "-bufsize", "5M"];
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture])
        .args(["-f", "lavfi", "-i", &tone, "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-pix_fmt", "yuv420p", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"])
        .args(rate)
        .args(["-x264-params", "nal-hrd=cbr", "-c:a", "aac", "-b:a", "128k"])
        .args(["-movflags", "+faststart"])
        .arg(&partial)
        .status()
        .map_err(|error| format!("ffmpeg makes the film, and could not be run: {error}"))?;
    if !status.success() {
        return Err("ffmpeg could not make the film".into());
    }
    // What is not on the disk yet cannot leave the page cache.
    File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

/// Lets the page cache forget a file.
///
/// # Errors
/// When it cannot be opened.
pub fn forget(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

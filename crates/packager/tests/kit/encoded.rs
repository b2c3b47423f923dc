//! Media of every codec that FFmpeg encodes, and every layout that it writes.

use std::path::{Path, PathBuf};

use super::ffmpeg;

/// What FFmpeg is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub name: &'static str,
    /// Its options, between white space.
    pub options: &'static str,
}

const fn recipe(name: &'static str, options: &'static str) -> Recipe {
    Recipe { name, options }
}

/// One track each.
pub const CODECS: [Recipe; 12] = [
    recipe(
        "hev1.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:repeat-headers=1 -tag:v hev1",
    ),
    recipe(
        "hvc1.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:scenecut=0:level-idc=31 -tag:v hvc1",
    ),
    recipe("vp9.mp4", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    recipe("av1.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime"),
    recipe("opus.mp4", "-c:a libopus -ar 48000"),
    recipe("flac.mp4", "-c:a flac -ar 96000"),
    recipe("ac3.mp4", "-c:a ac3 -ac 6 -ar 48000"),
    recipe("eac3.mp4", "-c:a eac3 -ac 2 -ar 48000"),
    recipe("mp3.mp4", "-c:a libmp3lame"),
    recipe("aac71.mp4", "-c:a aac -ac 8"),
    recipe("pcm.mov", "-c:a pcm_s16le"),
    recipe("aac.mov", "-c:a aac"),
];

/// Picture and sound, as files are laid out.
pub const LAYOUTS: [Recipe; 4] = [
    recipe("avc.mp4", "-c:v libx264 -preset ultrafast -level 3.1 -bf 2 -sc_threshold 0 -c:a aac"),
    recipe(
        "avc_front.mp4",
        "-c:v libx264 -preset ultrafast -level 3.1 -bf 2 -sc_threshold 0 -c:a ac3 -movflags +faststart",
    ),
    recipe(
        "avc_fragments.mp4",
        "-c:v libx264 -preset ultrafast -level 3.1 -sc_threshold 0 -c:a aac \
         -movflags frag_keyframe+empty_moov+default_base_moof",
    ),
    recipe(
        "avc_hybrid.mp4",
        "-c:v libx264 -preset ultrafast -level 3.1 -sc_threshold 0 -c:a aac -movflags frag_keyframe",
    ),
];

impl Recipe {
    /// Three seconds with a key frame each second, `more` options last; `None` where FFmpeg is not
    /// installed.
    pub fn make(&self, folder: &Path, more: &[&str]) -> Option<PathBuf> {
        let path = folder.join(self.name);
        let mut arguments = Vec::new();
        if self.options.contains("-c:v") {
            arguments.extend(["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=3"]);
        }
        if self.options.contains("-c:a") {
            arguments.extend(["-f", "lavfi", "-i", "sine=duration=3"]);
        }
        arguments.extend(["-g", "25", "-keyint_min", "25", "-strict", "-2"]);
        if self.options.contains("-c:v") {
            arguments.extend(["-pix_fmt", "yuv420p"]);
        }
        arguments.extend(self.options.split_whitespace());
        arguments.extend(more);
        arguments.push(path.to_str().unwrap());
        ffmpeg(&arguments).then_some(path)
    }
}

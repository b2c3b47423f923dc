//! The door to FFmpeg: start it, keep it quiet, open files with bounds.
//!
//! - FFmpeg writes its log to stderr and takes another sink only through C varargs, which safe
//!   Rust cannot write. So it is silenced, unless the host asks for it by enabling the tracing
//!   target `headwater_transcode::ffmpeg` at debug: then its warnings go to stderr. What went
//!   wrong is in the returned [`Error`] either way.
//! - A path is always passed as a `file:` URL, so that no file name is taken for a protocol.
//! - Only self-contained containers are opened. Playlists and scripts (HLS, DASH, concat) could
//!   make FFmpeg open other files, so they count as "not media".

use std::{fs, io, path::Path};

use ffmpeg_next::{Dictionary, ffi, format::context::Input, log};

use crate::{Error, Result};

/// Bytes read at most to find out what a file holds, beyond its header (`probesize`).
pub(crate) const PROBE_BYTES: u32 = 5 * 1024 * 1024;
/// Microseconds of media decoded at most to find out its parameters (`analyzeduration`).
pub(crate) const PROBE_MICROS: u32 = 5_000_000;
/// Streams a file may have.
pub(crate) const MAX_STREAMS: u32 = 100;

/// Containers whose samples are within the one file, by FFmpeg's demuxer names.
const CONTAINERS: &str = "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,gxf,nut,ivf,dv,\
                          wav,w64,aiff,caf,mp3,aac,flac,ac3,eac3";

/// Starts FFmpeg (cheap, may be called often) and sets how loud it is.
pub(crate) fn start() -> Result<()> {
    let level = if tracing::enabled!(target: "headwater_transcode::ffmpeg", tracing::Level::DEBUG) {
        log::Level::Warning
    } else {
        log::Level::Quiet
    };
    log::set_level(level);
    crate::error::Doing::doing(ffmpeg_next::init(), "start")
}

/// The path as FFmpeg wants it.
pub(crate) fn url(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains('\0') => Ok(format!("file:{text}")),
        _ => Err(Error::FileName),
    }
}

/// Opens a media file for reading and finds its streams, within the bounds above.
pub(crate) fn open(path: &Path) -> Result<Input> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound,
        _ => Error::Io { doing: "open the input", source },
    };
    // FFmpeg would wait for ever on a FIFO and says "invalid argument" of a folder.
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::other("not a regular file")));
    }
    fs::File::open(path).map_err(io)?;

    start()?;
    let mut options = Dictionary::new();
    options.set("probesize", &PROBE_BYTES.to_string());
    options.set("analyzeduration", &PROBE_MICROS.to_string());
    options.set("max_streams", &MAX_STREAMS.to_string());
    options.set("format_whitelist", CONTAINERS);
    options.set("protocol_whitelist", "file");
    let input =
        ffmpeg_next::format::input_with_dictionary(&url(path)?, options).map_err(|error| {
            tracing::debug!(%error, "FFmpeg refused the input");
            Error::NotMedia
        })?;
    Ok(input)
}

/// A timestamp of a stream, or `None` where FFmpeg has none.
pub(crate) fn timestamp(value: i64) -> Option<i64> {
    (value != ffi::AV_NOPTS_VALUE).then_some(value)
}

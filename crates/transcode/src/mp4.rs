//! Writing one MP4: H.264 by libx264, AAC-LC, the index in front, all or nothing.
//!
//! The file grows under a temporary name beside its target and is renamed when it is complete and
//! on disk. Whatever ends the work early removes it; after a kill or power cut a file named
//! `.NAME.PID-N.part` may be left, never one under the final name.
//!
//! Memory is bounded by libx264's look-ahead and the muxer's interleaving window (10 s).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use ffmpeg_next::{
    ChannelLayout, Dictionary, Packet, Rational, Rescale, codec, color, encoder,
    error::EAGAIN,
    format::{self, Pixel, Sample, sample},
    frame, picture, threading,
};

use crate::{Error, Result, error::Doing, library};

/// Samples per second of all sound written here.
pub(crate) const SAMPLE_RATE: u32 = 48_000;
const AUDIO_BITS_PER_SECOND: usize = 128_000;
/// Encoder threads. More would only make two renditions at once slower on the usual two cores.
pub(crate) const THREADS: usize = 2;

/// What the video track shall be.
pub(crate) struct VideoSettings {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Unit of the pictures' timestamps.
    pub(crate) time_base: Rational,
    /// Nominal frames per second, for rate control and the last picture's length.
    pub(crate) frame_rate: Rational,
    pub(crate) bits_per_second: u32,
    pub(crate) colour: Colour,
}

/// How numbers mean colours (ISO/IEC 23091-2).
#[derive(Clone, Copy)]
pub(crate) struct Colour {
    pub(crate) space: color::Space,
    pub(crate) primaries: color::Primaries,
    pub(crate) transfer: color::TransferCharacteristic,
}

impl Colour {
    pub(crate) const BT709: Self = Self {
        space: color::Space::BT709,
        primaries: color::Primaries::BT709,
        transfer: color::TransferCharacteristic::BT709,
    };
}

/// An MP4 being written.
pub(crate) struct Mp4 {
    video: encoder::video::Encoder,
    audio: Option<encoder::audio::Encoder>,
    frame_rate: Rational,
    muxer: format::context::Output,
    // Last, so that the muxer has closed the file before it is removed.
    part: Part,
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

impl Mp4 {
    /// Opens the encoders and the temporary file and writes the header.
    pub(crate) fn create(target: &Path, settings: &VideoSettings, audio: bool) -> Result<Self> {
        library::start()?;
        let video = open_video(settings)?;
        let audio = audio.then(open_audio).transpose()?;
        let part = Part::beside(target)?;
        let mut muxer =
            format::output_as(&library::url(&part.path)?, "mp4").doing("open the output")?;

        let mut stream = muxer.add_stream_with(&video).doing("add a video track")?;
        stream.set_time_base(settings.time_base);
        stream.set_rate(settings.frame_rate);
        stream.set_avg_frame_rate(settings.frame_rate);
        if let Some(audio) = &audio {
            let mut stream = muxer.add_stream_with(audio).doing("add an audio track")?;
            stream.set_time_base((1, SAMPLE_RATE.cast_signed()));
        }
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        muxer.write_header_with(options).map(drop).doing("write the header")?;
        Ok(Self { video, audio, frame_rate: settings.frame_rate, muxer, part })
    }

    /// Samples per channel that each audio frame but the last must have.
    pub(crate) fn audio_frame_size(&self) -> u32 {
        self.audio.as_ref().map_or(1024, encoder::audio::Encoder::frame_size)
    }

    /// Encodes one picture; its timestamp must exceed that of the one before.
    pub(crate) fn picture(&mut self, picture: &mut frame::Video, key: bool) -> Result<()> {
        // A decoded picture still says what it was in the source; libx264 would obey that.
        picture.set_kind(if key { picture::Type::I } else { picture::Type::None });
        self.video.send_frame(picture).doing("encode a picture")?;
        self.drain_video()
    }

    /// Encodes one frame of sound.
    pub(crate) fn sound(&mut self, sound: &frame::Audio) -> Result<()> {
        if let Some(audio) = &mut self.audio {
            audio.send_frame(sound).doing("encode sound")?;
        }
        self.drain_audio()
    }

    /// Ends both tracks, puts the index in front, and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.video.send_eof().doing("end the video")?;
        self.drain_video()?;
        if let Some(audio) = &mut self.audio {
            audio.send_eof().doing("end the sound")?;
        }
        self.drain_audio()?;
        self.muxer.write_trailer().doing("finish the file")?;
        drop(self.muxer);
        self.part.publish()
    }

    fn drain_video(&mut self) -> Result<()> {
        let from = self.video.time_base();
        let length = 1_i64.rescale(self.frame_rate.invert(), from);
        drain(&mut self.video, &mut self.muxer, VIDEO, from, length)
    }

    fn drain_audio(&mut self) -> Result<()> {
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        let from = audio.time_base();
        drain(audio, &mut self.muxer, AUDIO, from, 0)
    }
}

/// Moves what the encoder has ready into the file. `length` is for packets that do not say theirs.
fn drain(
    encoder: &mut encoder::Encoder,
    muxer: &mut format::context::Output,
    stream: usize,
    from: Rational,
    length: i64,
) -> Result<()> {
    // The muxer may have chosen another unit than it was offered.
    let to = muxer.stream(stream).map_or(from, |stream| stream.time_base());
    let mut packet = Packet::empty();
    loop {
        match encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(ffmpeg_next::Error::Eof | ffmpeg_next::Error::Other { errno: EAGAIN }) => {
                return Ok(());
            }
            Err(error) => return Err(error).doing("encode"),
        }
        if packet.duration() == 0 {
            packet.set_duration(length);
        }
        packet.set_stream(stream);
        packet.rescale_ts(from, to);
        packet.write_interleaved(muxer).doing("write to the output")?;
    }
}

fn open_video(settings: &VideoSettings) -> Result<encoder::video::Encoder> {
    let codec = encoder::find_by_name("libx264").ok_or(Error::Missing("the encoder libx264"))?;
    let mut video =
        codec::Context::new_with_codec(codec).encoder().video().doing("set up libx264")?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(Pixel::YUV420P);
    video.set_aspect_ratio((1, 1));
    video.set_color_range(color::Range::MPEG);
    video.set_colorspace(settings.colour.space);
    video.set_color_primaries(settings.colour.primaries);
    video.set_color_transfer_characteristic(settings.colour.transfer);
    video.set_time_base(settings.time_base);
    video.set_frame_rate(Some(settings.frame_rate));
    video.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
    let mut threads = threading::Config::count(THREADS);
    threads.kind = threading::Type::Frame;
    video.set_threading(threads);

    // A second of the peak rate may be in the decoder's buffer, so a segment stays near its mean.
    let bits = u64::from(settings.bits_per_second);
    let mut options = Dictionary::new();
    options.set("preset", "veryfast");
    options.set("profile", "high");
    options.set("b", &bits.to_string());
    options.set("maxrate", &(bits * 3 / 2).to_string());
    options.set("bufsize", &(bits * 3 / 2).to_string());
    options.set("bf", "3");
    // Key frames are where the caller puts them and nowhere else.
    options.set("x264-params", "scenecut=0:keyint=infinite:open-gop=0");
    video.open_as_with(codec, options).doing("open libx264 with these dimensions and rates")
}

fn open_audio() -> Result<encoder::audio::Encoder> {
    let codec = encoder::find_by_name("aac").ok_or(Error::Missing("the encoder aac"))?;
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio().doing("set up AAC")?;
    audio.set_rate(SAMPLE_RATE.cast_signed());
    audio.set_format(Sample::F32(sample::Type::Planar));
    audio.set_channel_layout(ChannelLayout::STEREO);
    audio.set_bit_rate(AUDIO_BITS_PER_SECOND);
    audio.set_time_base((1, SAMPLE_RATE.cast_signed()));
    audio.set_flags(codec::Flags::GLOBAL_HEADER);
    audio.open_as(codec).doing("open the AAC encoder")
}

/// The temporary file; removed when dropped before [`Part::publish`].
struct Part {
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Part {
    fn beside(target: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().and_then(|name| name.to_str()).ok_or(Error::FileName)?;
        let path = target.with_file_name(format!(
            ".{name}.{}-{}.part",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        // Made here rather than by FFmpeg: the system's reason survives.
        fs::File::create(&path).doing("create the output")?;
        Ok(Self { path, target: target.to_owned(), published: false })
    }

    fn publish(mut self) -> Result<()> {
        let sync = |path: &Path| -> io::Result<()> { fs::File::open(path)?.sync_all() };
        sync(&self.path).doing("write the output to disk")?;
        fs::rename(&self.path, &self.target).doing("give the output its name")?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "cannot remove an unfinished file");
        }
    }
}

//! Transcoding a file to one rendition of a ladder: H.264, and AAC if wanted.
//!
//! - Every picture of the source becomes one picture, with the source's timestamp; a key frame is
//!   the first picture at or after each multiple of [`RenditionSpec::gop_seconds`]. So renditions
//!   of one source share key frames, and frames, exactly.
//! - Picture and sound are moved by the same amount, so that the earlier of them starts at zero;
//!   holes in the sound of more than 100 ms are filled with silence instead of closing up.
//! - Pictures come out upright (a phone's rotation is applied) and with square pixels. The colour
//!   space is kept; nothing is tone-mapped or deinterlaced.

use std::{ops::ControlFlow, path::Path, time::Duration};

use ffmpeg_next::{
    Packet, Rational, Rescale, Stream, codec,
    codec::packet::side_data,
    color,
    format::{context::Input, stream::Disposition},
    frame, media, rescale,
};

use crate::{
    Error, OnProgress, Progress, Result,
    convert::{Pictures, Sound, Turn},
    error::Doing,
    library::{self, timestamp},
    mp4::{Colour, Mp4, THREADS, VideoSettings},
    probe,
};

/// What to encode to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionSpec {
    /// Height in pixels, even, 72 to 4320; the width follows from the source's shape.
    pub height: u32,
    /// Mean video bits per second, 50 000 to 200 000 000. Peaks reach half as much again.
    pub video_bitrate: u32,
    /// Seconds from key frame to key frame, 1 to 60.
    pub gop_seconds: u32,
    /// Whether the best audio stream comes along, as stereo AAC-LC at 48 kHz and 128 kbit/s. A
    /// source without sound gives a file without sound.
    pub audio: bool,
}

impl RenditionSpec {
    fn check(&self) -> Result<()> {
        let wrong = |message| Err(Error::Spec(message));
        if !(72..=4320).contains(&self.height) || !self.height.is_multiple_of(2) {
            return wrong("height must be even, 72 to 4320");
        }
        if !(50_000..=200_000_000).contains(&self.video_bitrate) {
            return wrong("video_bitrate must be 50000 to 200000000");
        }
        if !(1..=60).contains(&self.gop_seconds) {
            return wrong("gop_seconds must be 1 to 60");
        }
        Ok(())
    }
}

/// Encodes `input` to the MP4 `output`, which is replaced when the work is complete. Blocking, and
/// busy on two cores: call it off the async runtime.
///
/// # Errors
/// As [`probe`](crate::probe()) for the input; [`Error::NoVideo`]; [`Error::NotMedia`] also when
/// damage makes all of it undecodable; as [`make`](crate::demo::make) for the output. A damaged
/// stretch within a good file is skipped, and of a file cut short there is what is left. After any
/// error there is no new file at `output`.
pub fn rendition(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    spec: &RenditionSpec,
    progress: &mut OnProgress<'_>,
) -> Result<()> {
    spec.check()?;
    let mut input = library::open(input.as_ref())?;
    let mut work = Work::new(&input, output.as_ref(), spec)?;
    let total = probe::duration(input.duration(), rescale::TIME_BASE);
    let mut damaged = 0_u32;
    loop {
        let mut packet = Packet::empty();
        match packet.read(&mut input) {
            Ok(()) => damaged = 0,
            Err(ffmpeg_next::Error::Eof) => break,
            Err(ffmpeg_next::Error::InvalidData) if damaged < MAX_DAMAGED => {
                damaged += 1;
                continue;
            }
            Err(error) => return Err(error).doing("read the input"),
        }
        work.packet(&packet)?;
        if let Some(done) = work.take_progress()
            && progress(Progress { done, total }) == ControlFlow::Break(())
        {
            return Err(Error::Stopped);
        }
    }
    let done = work.finish()?;
    // The file is complete and named: too late to stop.
    let _ = progress(Progress { done, total: Some(done) });
    Ok(())
}

/// Unreadable packets in a row after which a file counts as broken.
const MAX_DAMAGED: u32 = 1000;

/// A rendition on its way.
struct Work {
    mp4: Mp4,
    video: VideoIn,
    audio: Option<AudioIn>,
    gop_micros: i64,
    /// Key frames so far, as positions on the grid of `gop_micros`.
    next_key: i64,
    last: Option<i64>,
    pictures: u64,
}

struct VideoIn {
    index: usize,
    decoder: codec::decoder::Video,
    convert: Pictures,
    time_base: Rational,
    /// What is subtracted from the stream's timestamps.
    start: i64,
}

struct AudioIn {
    index: usize,
    decoder: codec::decoder::Audio,
    convert: Sound,
    time_base: Rational,
    start: i64,
    /// The newest frame, held back because only the last one may hold padding.
    held: Option<frame::Audio>,
}

impl Work {
    fn new(input: &Input, output: &Path, spec: &RenditionSpec) -> Result<Self> {
        let best = input
            .streams()
            .best(media::Type::Video)
            .filter(|stream| !stream.disposition().contains(Disposition::ATTACHED_PIC));
        let sound = input
            .streams()
            .best(media::Type::Audio)
            .filter(|stream| codec::decoder::find(stream.parameters().id()).is_some());
        let Some(picture) =
            best.filter(|stream| codec::decoder::find(stream.parameters().id()).is_some())
        else {
            return Err(if sound.is_some() { Error::NoVideo } else { Error::NoDecodableStream });
        };
        let sound = sound.filter(|_| spec.audio);

        // One offset for both keeps them in sync; microseconds are far below what can be noticed.
        let micros = |stream: &Stream<'_>| {
            timestamp(stream.start_time())
                .map(|start| start.rescale(stream.time_base(), rescale::TIME_BASE))
        };
        let start = [Some(&picture), sound.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(micros)
            .min()
            .unwrap_or(0);

        let decoder = decoder(&picture)?.video().doing("open the video decoder")?;
        let turn = Turn::of(&rotation(&picture));
        let (width, height) = turn.apply(displayed(&decoder)?);
        let out_width = fit(width, height, spec.height)?;
        let time_base = picture.time_base();
        let rate = probe::frame_rate(&picture).unwrap_or(Rational(25, 1));
        let mp4 = Mp4::create(
            output,
            &VideoSettings {
                width: out_width,
                height: spec.height,
                time_base,
                frame_rate: rate,
                bits_per_second: spec.video_bitrate,
                colour: colour(&decoder),
            },
            sound.is_some(),
        )?;
        let audio = sound
            .map(|stream| {
                let mut context = self::decoder(&stream)?;
                // The decoder needs it to move timestamps when it drops priming.
                context.set_packet_time_base(stream.time_base());
                Ok::<_, Error>(AudioIn {
                    index: stream.index(),
                    decoder: context.audio().doing("open the audio decoder")?,
                    convert: Sound::new(stream.time_base(), mp4.audio_frame_size()),
                    time_base: stream.time_base(),
                    start: start.rescale(rescale::TIME_BASE, stream.time_base()),
                    held: None,
                })
            })
            .transpose()?;
        Ok(Self {
            video: VideoIn {
                index: picture.index(),
                decoder,
                convert: Pictures::new(out_width, spec.height, turn, time_base),
                time_base,
                start: start.rescale(rescale::TIME_BASE, time_base),
            },
            audio,
            mp4,
            gop_micros: i64::from(spec.gop_seconds) * 1_000_000,
            next_key: 0,
            last: None,
            pictures: 0,
        })
    }

    fn packet(&mut self, packet: &Packet) -> Result<()> {
        if packet.stream() == self.video.index {
            tolerate(self.video.decoder.send_packet(packet), "decode the video")?;
            self.decode_video()?;
        } else if let Some(audio) = &mut self.audio
            && packet.stream() == audio.index
        {
            tolerate(audio.decoder.send_packet(packet), "decode the sound")?;
            self.decode_audio()?;
        }
        Ok(())
    }

    fn decode_video(&mut self) -> Result<()> {
        let mut frame = frame::Video::empty();
        while self.video.decoder.receive_frame(&mut frame).is_ok() {
            let pts = frame.timestamp().map(|pts| pts - self.video.start);
            frame.set_pts(pts);
            self.video.convert.push(&frame)?;
            self.encode_video()?;
        }
        Ok(())
    }

    fn encode_video(&mut self) -> Result<()> {
        let mut frame = frame::Video::empty();
        while self.video.convert.pull(&mut frame)? {
            // An encoder refuses time that stands still; only broken files have it.
            let Some(pts) = frame.pts().filter(|pts| self.last.is_none_or(|last| *pts > last))
            else {
                tracing::debug!("dropped a picture without a usable timestamp");
                continue;
            };
            self.last = Some(pts);
            self.pictures += 1;
            let place =
                pts.rescale(self.video.time_base, rescale::TIME_BASE).div_euclid(self.gop_micros);
            let key = self.pictures == 1 || place >= self.next_key;
            if key {
                self.next_key = place + 1;
            }
            self.mp4.picture(&mut frame, key)?;
        }
        Ok(())
    }

    fn decode_audio(&mut self) -> Result<()> {
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        loop {
            let mut frame = frame::Audio::empty();
            if audio.decoder.receive_frame(&mut frame).is_err() {
                return Ok(());
            }
            let pts = frame.timestamp().map(|pts| pts - audio.start);
            frame.set_pts(pts);
            if let Some(before) = audio.held.replace(frame) {
                audio.convert.push(&before)?;
                encode_audio(&mut audio.convert, &mut self.mp4)?;
            }
        }
    }

    /// Sends the held frame on, without the codec's padding: else each generation grows.
    fn end_audio(&mut self) -> Result<()> {
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        if let Some(mut last) = audio.held.take() {
            let rate = Rational(1, last.rate().cast_signed());
            let said = last.packet().duration.rescale(audio.time_base, rate);
            if let Ok(said @ 1..) = usize::try_from(said) {
                last.set_samples(said.min(last.samples()));
            }
            audio.convert.push(&last)?;
        }
        audio.convert.end()?;
        encode_audio(&mut audio.convert, &mut self.mp4)
    }

    /// The media time encoded, once for every ten pictures.
    fn take_progress(&self) -> Option<Duration> {
        (self.pictures.is_multiple_of(10)).then(|| self.done())
    }

    fn done(&self) -> Duration {
        probe::duration(self.last.unwrap_or(0), self.video.time_base).unwrap_or_default()
    }

    fn finish(mut self) -> Result<Duration> {
        tolerate(self.video.decoder.send_eof(), "decode the video")?;
        self.decode_video()?;
        self.video.convert.end()?;
        self.encode_video()?;
        if let Some(audio) = &mut self.audio {
            tolerate(audio.decoder.send_eof(), "decode the sound")?;
        }
        self.decode_audio()?;
        self.end_audio()?;
        if self.pictures == 0 {
            return Err(Error::NotMedia);
        }
        let done = self.done();
        self.mp4.finish()?;
        Ok(done)
    }
}

fn encode_audio(convert: &mut Sound, mp4: &mut Mp4) -> Result<()> {
    let mut frame = frame::Audio::empty();
    while convert.pull(&mut frame)? {
        mp4.sound(&frame)?;
    }
    Ok(())
}

/// Lets a decoder refuse damaged data; what follows is usually whole again.
fn tolerate(result: Result<(), ffmpeg_next::Error>, doing: &'static str) -> Result<()> {
    match result {
        Err(error @ (ffmpeg_next::Error::InvalidData | ffmpeg_next::Error::Eof)) => {
            tracing::debug!(%error, "cannot {doing}: skipped");
            Ok(())
        }
        other => other.doing(doing),
    }
}

fn decoder(stream: &Stream<'_>) -> Result<codec::decoder::Decoder> {
    let mut context =
        codec::Context::from_parameters(stream.parameters()).doing("read a stream's parameters")?;
    let mut threads = ffmpeg_next::threading::Config::count(THREADS);
    threads.kind = ffmpeg_next::threading::Type::Frame;
    context.set_threading(threads);
    Ok(context.decoder())
}

/// Width and height as they shall be seen, before rotation.
fn displayed(decoder: &codec::decoder::Video) -> Result<(u32, u32)> {
    let (width, height) = (decoder.width(), decoder.height());
    if width == 0 || height == 0 {
        return Err(Error::NotMedia);
    }
    let aspect = decoder.aspect_ratio();
    let (Ok(n), Ok(d)) = (u64::try_from(aspect.numerator()), u64::try_from(aspect.denominator()))
    else {
        return Ok((width, height));
    };
    if n == 0 || d == 0 {
        return Ok((width, height));
    }
    let wide = (u64::from(width) * n / d).clamp(1, 1 << 20);
    Ok((u32::try_from(wide).unwrap_or(width), height))
}

/// The even width that keeps the shape at another height.
fn fit(width: u32, height: u32, new_height: u32) -> Result<u32> {
    let (width, height) = (u64::from(width), u64::from(height));
    let half = (width * u64::from(new_height) + height) / (2 * height);
    match u32::try_from(half * 2) {
        Ok(fitted @ 2..=16_384) => Ok(fitted),
        _ => Err(Error::Spec("the source's shape gives an impossible width")),
    }
}

fn colour(decoder: &codec::decoder::Video) -> Colour {
    Colour {
        // RGB sources become Y'CbCr on the way.
        space: match decoder.color_space() {
            color::Space::RGB => color::Space::Unspecified,
            space => space,
        },
        primaries: decoder.color_primaries(),
        transfer: decoder.color_transfer_characteristic(),
    }
}

/// The display matrix (ISO 14496-12 §8.5.2), or nothing.
fn rotation(stream: &Stream<'_>) -> Vec<u8> {
    stream
        .side_data()
        .find(|data| data.kind() == side_data::Type::DisplayMatrix)
        .map(|data| data.data().to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may fail loudly"
    )]
    use super::fit;

    #[test]
    fn a_width_is_even_and_keeps_the_shape() {
        assert_eq!(fit(1920, 1080, 720).unwrap(), 1280);
        assert_eq!(fit(1920, 1080, 360).unwrap(), 640);
        assert_eq!(fit(854, 480, 360).unwrap(), 640);
        assert_eq!(fit(1080, 1920, 360).unwrap(), 202);
        assert!(fit(1 << 20, 2, 4320).is_err());
    }
}

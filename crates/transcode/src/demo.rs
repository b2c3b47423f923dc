//! A mezzanine to play with when there is none at hand: burnt-in timecode, a tone a second.
//!
//! Everything is made in this process by FFmpeg's own generators; nothing is read but a font.
//! Key frames are exactly every [`DemoSpec::gop_seconds`], so files made with the same `seconds`,
//! `fps` and `gop_seconds` are renditions of one ladder, frame for frame.

use std::{ops::ControlFlow, path::Path, time::Duration};

use ffmpeg_next::{Rational, frame};

pub use crate::picture::tone;
use crate::{
    Error, OnProgress, Progress, Result,
    error::Doing,
    filter::{Flow, Graph},
    library,
    mp4::{Colour, Mp4, SAMPLE_RATE, VideoSettings},
    picture,
};

/// What to make. The default is the 1080p file of the reference demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoSpec {
    /// Length in whole seconds; default 60, 1 to 43 200 (12 hours).
    pub seconds: u32,
    /// Width in pixels; default 1920, even, 128 to 7680.
    pub width: u32,
    /// Height in pixels; default 1080, even, 72 to 4320.
    pub height: u32,
    /// Frames per second; default 30, 1 to 120.
    pub fps: u32,
    /// Seconds from key frame to key frame; default 2, 1 to 60.
    pub gop_seconds: u32,
    /// Mean video bits per second; default 5 000 000, 50 000 to 200 000 000. Peaks reach half as
    /// much again.
    pub video_bitrate: u32,
    /// Whether there is sound (AAC-LC, stereo, 48 kHz, 128 kbit/s); default yes.
    pub audio: bool,
}

impl Default for DemoSpec {
    fn default() -> Self {
        Self {
            seconds: 60,
            width: 1920,
            height: 1080,
            fps: 30,
            gop_seconds: 2,
            video_bitrate: 5_000_000,
            audio: true,
        }
    }
}

impl DemoSpec {
    /// The whole length.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The same scene at another height, without sound: the next rung of a ladder. Cheaper than
    /// [`rendition`](crate::encode::rendition) of the file, and the picture names its own size.
    #[must_use]
    pub fn rung(&self, height: u32, video_bitrate: u32) -> Self {
        let wide = u64::from(self.width) * u64::from(height) / u64::from(self.height.max(1));
        Self {
            width: u32::try_from(wide.next_multiple_of(2)).unwrap_or(u32::MAX),
            height,
            video_bitrate,
            audio: false,
            ..self.clone()
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |message| Err(Error::Spec(message));
        if !(1..=43_200).contains(&self.seconds) {
            return wrong("seconds must be 1 to 43200");
        }
        if !(128..=7680).contains(&self.width) || !self.width.is_multiple_of(2) {
            return wrong("width must be even, 128 to 7680");
        }
        if !(72..=4320).contains(&self.height) || !self.height.is_multiple_of(2) {
            return wrong("height must be even, 72 to 4320");
        }
        if !(1..=120).contains(&self.fps) {
            return wrong("fps must be 1 to 120");
        }
        if !(1..=60).contains(&self.gop_seconds) {
            return wrong("gop_seconds must be 1 to 60");
        }
        if !(50_000..=200_000_000).contains(&self.video_bitrate) {
            return wrong("video_bitrate must be 50000 to 200000000");
        }
        Ok(())
    }
}

/// Makes the file. Blocking, and busy on two cores: call it off the async runtime.
///
/// # Errors
/// [`Error::Spec`] for a field out of bounds, [`Error::NoFont`], [`Error::Missing`] when FFmpeg
/// was built without libx264 or drawtext, [`Error::Io`], [`Error::Stopped`], [`Error::Ffmpeg`].
/// After any of them there is no file at `path` that was not there before.
pub fn make(path: impl AsRef<Path>, spec: &DemoSpec, progress: &mut OnProgress<'_>) -> Result<()> {
    spec.check()?;
    library::start()?;
    let mut pictures = Graph::generator(Flow::Pictures, &picture::pictures(spec)?)?;
    let mut sound =
        if spec.audio { Some(Graph::generator(Flow::Sound, &picture::sound(spec))?) } else { None };
    let fps = spec.fps.cast_signed();
    let mut mp4 = Mp4::create(
        path.as_ref(),
        &VideoSettings {
            width: spec.width,
            height: spec.height,
            time_base: Rational(1, fps),
            frame_rate: Rational(fps, 1),
            bits_per_second: spec.video_bitrate,
            colour: Colour::BT709,
        },
        spec.audio,
    )?;
    if let Some(sound) = &mut sound {
        sound.set_frame_size(mp4.audio_frame_size());
    }

    let mut samples = 0_u64;
    for number in 0..u64::from(spec.seconds) * u64::from(spec.fps) {
        // Sound is kept just ahead of the pictures, so the muxer holds little back.
        while samples * u64::from(spec.fps) <= number * u64::from(SAMPLE_RATE)
            && let Some(graph) = &mut sound
        {
            let mut frame = frame::Audio::empty();
            if !graph.pull(&mut frame)? {
                break;
            }
            frame.set_pts(Some(samples.cast_signed()));
            samples += frame.samples() as u64;
            mp4.sound(&frame)?;
        }
        let mut frame = frame::Video::empty();
        if !pictures.pull(&mut frame)? {
            return Err(ffmpeg_next::Error::Eof).doing("draw a picture");
        }
        frame.set_pts(Some(number.cast_signed()));
        let gop = u64::from(spec.gop_seconds) * u64::from(spec.fps);
        mp4.picture(&mut frame, number.is_multiple_of(gop))?;
        if number.is_multiple_of(10) {
            let done = Duration::from_secs(number) / spec.fps;
            report(progress, done, spec.duration())?;
        }
    }
    if let Some(graph) = &mut sound {
        let mut frame = frame::Audio::empty();
        while graph.pull(&mut frame)? {
            frame.set_pts(Some(samples.cast_signed()));
            samples += frame.samples() as u64;
            mp4.sound(&frame)?;
        }
    }
    mp4.finish()?;
    // The file is complete and named: too late to stop.
    let _ = report(progress, spec.duration(), spec.duration());
    Ok(())
}

fn report(progress: &mut OnProgress<'_>, done: Duration, total: Duration) -> Result<()> {
    match progress(Progress { done, total: Some(total) }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Stopped),
    }
}

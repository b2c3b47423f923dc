//! From what a decoder gives to what an encoder takes.
//!
//! The graphs are made from the first frame, not from what the container claims, and made anew
//! when frames change their format on the way, as broadcast recordings do.

use ffmpeg_next::{ChannelLayout, Frame, Rational, frame};

use crate::{
    Error, Result,
    filter::{Flow, Graph},
    mp4::SAMPLE_RATE,
};

/// How a picture is turned to stand upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    None,
    Right,
    Half,
    Left,
}

impl Turn {
    /// What a display matrix asks for (nine native-endian `i32`, ISO 14496-12 §8.5.2), to the
    /// nearest quarter.
    pub(crate) fn of(matrix: &[u8]) -> Self {
        let entry = |index: usize| {
            matrix
                .get(index * 4..index * 4 + 4)
                .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
                .map_or(0, i32::from_ne_bytes)
        };
        let (a, b) = (i64::from(entry(0)), i64::from(entry(1)));
        if a.abs() >= b.abs() {
            if a < 0 { Self::Half } else { Self::None }
        } else if b > 0 {
            Self::Right
        } else {
            Self::Left
        }
    }

    /// Width and height after the turn.
    pub(crate) fn apply(self, (width, height): (u32, u32)) -> (u32, u32) {
        match self {
            Self::None | Self::Half => (width, height),
            Self::Right | Self::Left => (height, width),
        }
    }

    fn filter(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Right => "transpose=clock,",
            Self::Half => "hflip,vflip,",
            Self::Left => "transpose=cclock,",
        }
    }
}

/// Pictures of any size and format to YUV 4:2:0 of one size.
pub(crate) struct Pictures {
    spec: String,
    time_base: Rational,
    source: String,
    graph: Option<Graph>,
}

impl Pictures {
    pub(crate) fn new(width: u32, height: u32, turn: Turn, time_base: Rational) -> Self {
        Self {
            spec: format!(
                "{}scale={width}:{height}:flags=bicubic:out_range=tv,setsar=1,format=yuv420p",
                turn.filter()
            ),
            time_base,
            source: String::new(),
            graph: None,
        }
    }

    pub(crate) fn push(&mut self, frame: &frame::Video) -> Result<()> {
        let format = frame.format();
        let aspect = frame.aspect_ratio();
        let source = format!(
            "video_size={}x{}:pix_fmt={}:time_base={}:pixel_aspect={}/{}",
            frame.width(),
            frame.height(),
            format.descriptor().ok_or(Error::NotMedia)?.name(),
            self.time_base,
            aspect.numerator().max(0),
            aspect.denominator().max(1),
        );
        if source != self.source || self.graph.is_none() {
            // Scaling holds no picture back, so the old graph is empty.
            self.graph = Some(Graph::converter(Flow::Pictures, &source, &self.spec)?);
            self.source = source;
        }
        push(self.graph.as_mut(), frame)
    }

    pub(crate) fn pull(&mut self, frame: &mut frame::Video) -> Result<bool> {
        pull(self.graph.as_mut(), frame)
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.graph.as_mut().map_or(Ok(()), Graph::end_of_input)
    }
}

/// Sound of any kind to stereo at 48 kHz, in frames of the encoder's size.
pub(crate) struct Sound {
    time_base: Rational,
    frame_size: u32,
    source: String,
    graph: Option<Graph>,
}

impl Sound {
    pub(crate) fn new(time_base: Rational, frame_size: u32) -> Self {
        Self { time_base, frame_size, source: String::new(), graph: None }
    }

    pub(crate) fn push(&mut self, frame: &frame::Audio) -> Result<()> {
        let mut layout = frame.channel_layout();
        if layout.is_empty() {
            layout = ChannelLayout::default(frame.channels().into());
        }
        let source = format!(
            "time_base={}:sample_rate={}:sample_fmt={}:channel_layout=0x{:x}",
            self.time_base,
            frame.rate(),
            frame.format().name(),
            layout.bits(),
        );
        if source != self.source || self.graph.is_none() {
            // What the old graph still holds, less than two frames, is lost: a short frame in
            // the middle is more than AAC allows. The timestamps keep the rest in place.
            let mut graph = Graph::converter(
                Flow::Sound,
                &source,
                &format!(
                    "aresample={SAMPLE_RATE}:async=1,\
                     aformat=sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"
                ),
            )?;
            graph.set_frame_size(self.frame_size);
            self.graph = Some(graph);
            self.source = source;
        }
        push(self.graph.as_mut(), frame)
    }

    pub(crate) fn pull(&mut self, frame: &mut frame::Audio) -> Result<bool> {
        pull(self.graph.as_mut(), frame)
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.graph.as_mut().map_or(Ok(()), Graph::end_of_input)
    }
}

fn push(graph: Option<&mut Graph>, frame: &Frame) -> Result<()> {
    graph.map_or(Ok(()), |graph| graph.push(frame))
}

fn pull(graph: Option<&mut Graph>, frame: &mut Frame) -> Result<bool> {
    graph.map_or(Ok(false), |graph| graph.pull(frame))
}

#[cfg(test)]
mod tests {
    use super::Turn;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> Vec<u8> {
        [a, b, 0, c, d, 0, 0, 0, 1 << 30].into_iter().flat_map(i32::to_ne_bytes).collect()
    }

    #[test]
    fn a_display_matrix_says_how_to_turn() {
        let one = 1 << 16;
        assert_eq!(Turn::of(&[]), Turn::None);
        assert_eq!(Turn::of(&matrix(one, 0, 0, one)), Turn::None);
        assert_eq!(Turn::of(&matrix(0, one, -one, 0)), Turn::Right);
        assert_eq!(Turn::of(&matrix(-one, 0, 0, -one)), Turn::Half);
        assert_eq!(Turn::of(&matrix(0, -one, one, 0)), Turn::Left);
        assert_eq!(Turn::Right.apply((16, 9)), (9, 16));
    }
}

//! FFmpeg filter graphs with one sink, for pictures or for sound.
//!
//! A graph is text in FFmpeg's own language; this file adds the ends that Rust pushes into and
//! pulls from. Inputs, if any, are called `in`, the result `out`.

use ffmpeg_next::{Frame, error::EAGAIN, filter};

use crate::{Error, Result, error::Doing};

/// What flows through a graph.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Pictures,
    Sound,
}

impl Flow {
    fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Pictures => ("buffer", "buffersink"),
            Self::Sound => ("abuffer", "abuffersink"),
        }
    }
}

/// A configured graph.
pub(crate) struct Graph(filter::Graph);

impl Graph {
    /// A graph that makes its own frames.
    pub(crate) fn generator(flow: Flow, spec: &str) -> Result<Self> {
        Self::build(flow, None, spec)
    }

    /// A graph that turns frames into others; `source` describes what comes in.
    pub(crate) fn converter(flow: Flow, source: &str, spec: &str) -> Result<Self> {
        Self::build(flow, Some(source), spec)
    }

    fn build(flow: Flow, source: Option<&str>, spec: &str) -> Result<Self> {
        let (source_filter, sink_filter) = flow.ends();
        let mut graph = filter::Graph::new();
        add(&mut graph, sink_filter, "out", "")?;
        if let Some(source) = source {
            add(&mut graph, source_filter, "in", source)?;
            graph
                .output("in", 0)
                .and_then(|parser| parser.input("out", 0))
                .and_then(|parser| parser.parse(spec))
                .doing("understand a filter graph")?;
        } else {
            graph
                .input("out", 0)
                .and_then(|parser| parser.parse(spec))
                .doing("understand a filter graph")?;
        }
        graph.validate().doing("set up a filter graph")?;
        Ok(Self(graph))
    }

    /// Makes every frame of sound but the last hold this many samples.
    pub(crate) fn set_frame_size(&mut self, samples: u32) {
        if let Some(mut out) = self.0.get("out") {
            out.sink().set_frame_size(samples);
        }
    }

    /// Pushes a frame in.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<()> {
        self.end("in")?.source().add(frame).doing("filter a frame")
    }

    /// Says that no more frames come.
    pub(crate) fn end_of_input(&mut self) -> Result<()> {
        self.end("in")?.source().flush().doing("end a filter graph")
    }

    /// Pulls the next frame; false when there is none now, or none any more.
    pub(crate) fn pull(&mut self, frame: &mut Frame) -> Result<bool> {
        match self.end("out")?.sink().frame(frame) {
            Ok(()) => Ok(true),
            Err(ffmpeg_next::Error::Eof | ffmpeg_next::Error::Other { errno: EAGAIN }) => Ok(false),
            Err(error) => Err(error).doing("filter a frame"),
        }
    }

    fn end(&mut self, name: &str) -> Result<filter::Context> {
        self.0.get(name).ok_or(Error::Missing("an end of the graph"))
    }
}

fn add(graph: &mut filter::Graph, kind: &'static str, name: &str, args: &str) -> Result<()> {
    let filter = filter::find(kind).ok_or(Error::Missing("a filter that every FFmpeg has"))?;
    graph.add(&filter, name, args).map(drop).doing("set up the ends of a filter graph")
}

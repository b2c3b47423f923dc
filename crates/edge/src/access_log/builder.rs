//! What a log tells, and of which answers.

use std::io;
use std::sync::Arc;

use super::query::Masked;
use super::sample::Sample;
use super::{AccessLog, Counters, LogWriter, writer};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A line of JSON for each answer: the keys are `time`, `peer`, `protocol`, `method`, `host`,
    /// `path`, `query` where it is told, `status`, `bytes`, `duration_us`, `cache`, `end` and
    /// `user_agent`.
    #[default]
    Json,
    /// The combined format, which knows neither host nor cache.
    Combined,
}

/// Describes a log; by default it has a line of JSON for each answer, with the client's address and
/// without queries.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until start is called"]
pub struct AccessLogBuilder {
    format: Option<Format>,
    sample: Sample,
    anonymise: bool,
    query: Option<Masked>,
}

impl Default for AccessLogBuilder {
    fn default() -> Self {
        Self {
            format: Some(Format::default()),
            sample: Sample { one_in: 1, all_errors: true },
            anonymise: false,
            query: None,
        }
    }
}

/// What of an answer is told: the same for all layers of a log.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) sample: Sample,
    pub(super) anonymise: bool,
    pub(super) query: Option<Masked>,
    /// Of lines; `None` where none is written.
    pub(super) format: Option<Format>,
}

impl Told {
    /// Whether lines name the page that a client came from.
    pub(super) fn referer(&self) -> bool {
        self.format == Some(Format::Combined)
    }
}

impl AccessLogBuilder {
    /// How lines are written.
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// Has nothing written: the log is there for [`AccessLog::watch`], and while nobody watches, nothing is
    /// noted of a request.
    pub fn unwritten(mut self) -> Self {
        self.format = None;
        self
    }

    /// Of so many answers one has a line; 1, the default, and 0 are all. Which, hangs on client,
    /// host and path: what one client asks for twice has two lines or none.
    pub fn sample(mut self, one_in: u32) -> Self {
        self.sample.one_in = one_in;
        self
    }

    /// Whether errors all have a line, whatever the sample: answers of 400 and above, and bodies that
    /// an upstream broke off. By default they do.
    pub fn all_errors(mut self, all: bool) -> Self {
        self.sample.all_errors = all;
        self
    }

    /// Whether lines name a client's network instead of its address and port: 24 bits of IPv4, 48 of
    /// IPv6. By default they name the address.
    pub fn anonymise(mut self, anonymise: bool) -> Self {
        self.anonymise = anonymise;
        self
    }

    /// Has queries told, without the values of these names; by default they are not.
    pub fn query(mut self, masked: Masked) -> Self {
        self.query = Some(masked);
        self
    }

    /// Starts a thread that writes lines to `sink`, from queues of `capacity` records of at most
    /// three quarters of a kilobyte each. The writer is to be kept: when it is dropped, what is
    /// queued is written out and the log ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start<W>(self, sink: W, capacity: usize) -> io::Result<(AccessLog, LogWriter)>
    where
        W: io::Write + Send + 'static,
    {
        let counters = Arc::new(Counters::default());
        let lines = (counters.written.clone(), counters.failed.clone());
        let (hub, writer) = writer::start(sink, lines)?;
        let capacity = capacity.max(1);
        Ok((AccessLog { hub, counters, told: self.told(), capacity }, writer))
    }

    /// What layers are told to tell.
    pub(super) fn told(self) -> Arc<Told> {
        let Self { format, sample, anonymise, query } = self;
        Arc::new(Told { sample, anonymise, query, format })
    }
}

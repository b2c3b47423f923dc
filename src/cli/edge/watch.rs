//! The operator's listener as a client meets it: lines of the log of a running edge, as they come.
//!
//! The operator speaks plain HTTP at an address or a Unix socket. One request of HTTP/1.0 is all there
//! is to say, whose answer is the rest of the connection: no client of the house speaks to a socket.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Error, secret};
use super::load;

/// How long a reader waits for a line before it may do something else.
const TURN: Duration = Duration::from_millis(200);
/// The longest answer that says why there are no lines.
const MAX_REFUSAL: usize = 64 << 10;
/// The longest line; the edge's are much shorter.
const MAX_LINE: usize = 64 << 10;

/// Which edge, and which of its lines.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true))]
pub(crate) struct Whom {
    /// The edge's configuration: where its operator is answered, and the token
    #[arg(long, value_name = "FILE", group = "place")]
    config: Option<PathBuf>,

    /// Where its operator is answered instead: ADDR:PORT, or the path of a Unix socket
    #[arg(long, value_name = "PLACE", group = "place")]
    at: Option<String>,

    /// The file of the operator's token
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    token_file: Option<PathBuf>,

    /// Only answers for which this holds, such as 'status >= 500 and not path ~ /health'
    ///
    /// Numbers are status, bytes and duration_us, with = != < <= > >=. Texts are method, host, path, query,
    /// route and user_agent, with = and !=, and with ~ and !~ for what is part of them. Words are protocol,
    /// cache and end, with = and !=, and so is peer, an address or a network such as 10.0.0.0/8. They are
    /// joined by and, or, not and brackets; a text with spaces stands in "
    #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: String,
}

/// Lines as they come.
pub(super) struct Lines {
    stream: Box<dyn Read>,
    buffer: Vec<u8>,
}

/// What came next.
pub(super) enum Next {
    Line(String),
    /// Nothing for a moment.
    Nothing,
    End,
}

impl Whom {
    /// Asks the edge for its lines.
    pub(super) fn lines(&self) -> Result<Lines, Error> {
        // The edge says the same, but only once it is found.
        self.filter.parse::<headwater::edge::access_log::Filter>()?;
        let (place, token) = self.place()?;
        let mut request =
            format!("GET /log?filter={} HTTP/1.0\r\nhost: localhost\r\n", self.query());
        if let Some(token) = token {
            request.push_str("authorization: Bearer ");
            request.push_str(&token);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let stream = connect(&place, request.as_bytes());
        let stream = stream.map_err(|error| format!("no edge answers at {place}: {error}"))?;
        let mut lines = Lines { stream, buffer: Vec::new() };
        lines.head(&place)?;
        Ok(lines)
    }

    fn query(&self) -> String {
        let bytes = self.filter.bytes();
        bytes.fold(String::new(), |mut query, byte| {
            if byte.is_ascii_alphanumeric() {
                query.push(byte.into());
            } else {
                let _ = write!(query, "%{byte:02X}");
            }
            query
        })
    }

    /// Where to connect to, and the token.
    fn place(&self) -> Result<(String, Option<String>), Error> {
        let Some(file) = &self.config else {
            let token = token(self.token_file.as_deref(), None)?;
            return Ok((self.at.clone().unwrap_or_default(), token));
        };
        let operator = load(file)??.0.operator;
        let socket = operator.listen_unix.as_ref().map(|path| path.display().to_string());
        let place = socket.or_else(|| operator.listen.first().map(ToString::to_string));
        let place = place.ok_or_else(|| {
            format!("{}: no operator is answered: give [operator] a listener", file.display())
        })?;
        Ok((place, token(operator.token_file.as_deref(), operator.token_env.as_deref())?))
    }
}

/// The operator's token, if one is named, as a field holds it.
fn token(file: Option<&Path>, variable: Option<&str>) -> Result<Option<String>, Error> {
    let Some(token) = secret::read(file, variable)? else { return Ok(None) };
    let token = String::from_utf8(token)
        .ok()
        .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(Some(token.ok_or("the operator's token is none that a field can hold")?))
}

fn connect(place: &str, request: &[u8]) -> io::Result<Box<dyn Read>> {
    // An address has a port behind a colon.
    if place.contains('/') || !place.contains(':') {
        let mut stream = UnixStream::connect(place)?;
        stream.write_all(request)?;
        stream.set_read_timeout(Some(TURN))?;
        return Ok(Box::new(stream));
    }
    let mut stream = TcpStream::connect(place)?;
    stream.write_all(request)?;
    stream.set_read_timeout(Some(TURN))?;
    Ok(Box::new(stream))
}

impl Lines {
    /// What comes next; waits a moment for it.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Next::Line(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line without an end"));
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Next::End),
                Ok(read) => self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Next::Nothing),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn line(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.next()? {
                Next::Line(line) => return Ok(Some(line)),
                Next::Nothing => {}
                Next::End => return Ok(None),
            }
        }
    }

    /// Reads what comes before the lines, and where there are none, why.
    fn head(&mut self, place: &str) -> Result<(), Error> {
        let first = self.line()?.unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        while self.line()?.is_some_and(|line| !line.is_empty()) {}
        match status {
            Some(200) => return Ok(()),
            None => return Err(format!("{place} is no operator of an edge").into()),
            _ => {}
        }
        let mut said = String::new();
        while let Some(line) = self.line()?.filter(|_| said.len() < MAX_REFUSAL) {
            said.push_str(&line);
        }
        // A problem's text ends without a line feed.
        said.push_str(&String::from_utf8_lossy(&self.buffer));
        let problem = serde_json::from_str::<serde_json::Value>(&said).unwrap_or_default();
        let why = problem.get("detail").or_else(|| problem.get("title"));
        let why = why.and_then(|why| why.as_str()).unwrap_or(&first);
        Err(format!("the operator at {place} refuses: {why}").into())
    }
}

/// How many lines were lost before those that follow, if a line says so.
pub(super) fn lost(line: &str) -> Option<u64> {
    line.strip_prefix("{\"lost\":")?.strip_suffix('}')?.parse().ok()
}

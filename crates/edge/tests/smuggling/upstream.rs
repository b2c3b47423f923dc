//! An HTTP/1.1 upstream that takes a request as RFC 9112 writes it and no other way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub line: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Whether all of it came.
    pub whole: bool,
}

impl Seen {
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        let mine = self.fields.iter().filter(|(one, _)| one == name);
        mine.map(|(_, value)| value.as_slice()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

/// Answers every request 200 and takes down what came; a byte out of place ends it.
pub struct Upstream {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Result<Seen, String>>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let into = Arc::clone(&seen);
        // Ends with the program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let into = Arc::clone(&into);
                std::thread::spawn(move || serve(&stream, &into));
            }
        });
        Self { addr, seen }
    }

    /// What came since the last call; fails where anything was not as RFC 9112 writes it.
    pub fn take(&self) -> Vec<Seen> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.into_iter().map(|one| one.expect("an upstream could misread this")).collect()
    }
}

fn serve(stream: &TcpStream, into: &Mutex<Vec<Result<Seen, String>>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(seen) = read(&mut reader) {
        let go_on = seen.as_ref().is_ok_and(|seen| seen.whole);
        into.lock().unwrap().push(seen);
        if !go_on {
            return;
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok";
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

type Reader = BufReader<TcpStream>;

/// Names in lower case, and values.
type Fields = Vec<(String, Vec<u8>)>;

/// A line without its CRLF; `None` at the end of the connection.
fn line(reader: &mut Reader) -> Option<Result<Vec<u8>, String>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    if line.last() != Some(&b'\n') {
        return None;
    }
    line.pop();
    if line.pop() != Some(b'\r') {
        return Some(Err(format!("a bare line feed after {:?}", line.escape_ascii().to_string())));
    }
    let odd = |byte: &u8| (*byte < 32 && *byte != b'\t') || *byte == 127;
    Some(if line.iter().any(odd) {
        Err(format!("a control character in {:?}", line.escape_ascii().to_string()))
    } else {
        Ok(line)
    })
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Fields up to the empty line.
fn fields(reader: &mut Reader) -> Option<Result<Fields, String>> {
    let mut all = Vec::new();
    loop {
        let line = match line(reader)? {
            Ok(line) if line.is_empty() => return Some(Ok(all)),
            Ok(line) => line,
            Err(why) => return Some(Err(why)),
        };
        let at = line.iter().position(|byte| *byte == b':');
        match at.map(|at| line.split_at(at)) {
            Some((name, value)) if is_token(name) => {
                let name = String::from_utf8(name.to_ascii_lowercase()).unwrap();
                all.push((name, value[1..].trim_ascii().to_vec()));
            }
            _ => return Some(Err(format!("no field: {:?}", line.escape_ascii().to_string()))),
        }
    }
}

fn read(reader: &mut Reader) -> Option<Result<Seen, String>> {
    let start = match line(reader)? {
        Ok(start) => start,
        Err(why) => return Some(Err(why)),
    };
    let start = match String::from_utf8(start) {
        Ok(start) if start.is_ascii() && start.split(' ').count() == 3 => start,
        other => return Some(Err(format!("no request line: {other:?}"))),
    };
    let fields = match fields(reader)? {
        Ok(fields) => fields,
        Err(why) => return Some(Err(why)),
    };
    let mut seen =
        Seen { line: start, fields, body: Vec::new(), trailers: Vec::new(), whole: true };
    let hosts = seen.values("host").len();
    if hosts != 1 {
        return Some(Err(format!("{hosts} hosts in {seen:?}")));
    }
    let (lengths, codings) = (seen.values("content-length"), seen.values("transfer-encoding"));
    match (lengths[..].first().copied(), codings.first().copied()) {
        _ if lengths.len() > 1 || codings.len() > 1 => {
            return Some(Err(format!("several framings: {seen:?}")));
        }
        (Some(_), Some(_)) => return Some(Err(format!("two framings: {seen:?}"))),
        (None, None) => {}
        (Some(length), None) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let Some(length) = std::str::from_utf8(length).ok().filter(|_| digits) else {
                return Some(Err(format!("no length: {seen:?}")));
            };
            let mut body = vec![0; length.parse().unwrap()];
            seen.whole = reader.read_exact(&mut body).is_ok();
            seen.body = body;
        }
        (None, Some(b"chunked")) => match chunks(reader, &mut seen) {
            Some(Ok(())) => {}
            Some(Err(why)) => return Some(Err(why)),
            None => seen.whole = false,
        },
        (None, Some(_)) => return Some(Err(format!("a coding that is none: {seen:?}"))),
    }
    Some(Ok(seen))
}

fn chunks(reader: &mut Reader, seen: &mut Seen) -> Option<Result<(), String>> {
    loop {
        let size = match line(reader)? {
            Ok(size) => String::from_utf8(size).unwrap_or_default(),
            Err(why) => return Some(Err(why)),
        };
        let digits = !size.is_empty() && size.len() <= 8;
        let Some(size) = usize::from_str_radix(&size, 16).ok().filter(|_| digits) else {
            return Some(Err(format!("no chunk size: {size:?}")));
        };
        if size == 0 {
            return Some(fields(reader)?.map(|trailers| seen.trailers = trailers));
        }
        let mut data = vec![0; size + 2];
        reader.read_exact(&mut data).ok()?;
        if !data.ends_with(b"\r\n") {
            return Some(Err("a chunk without end".to_owned()));
        }
        seen.body.extend_from_slice(&data[..size]);
    }
}

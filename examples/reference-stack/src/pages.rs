//! The viewer's pages: read into memory once, served with strong validators.
//!
//! The pages are built by `cargo xtask demo` (they need node); a stack without them still plays,
//! and says on a plain page which command makes them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use headwater_net::conditional::{self, Outcome, Validators};
use headwater_net::{Body, Problem};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

/// The most bytes all pages together may have.
const MAX_BYTES: u64 = 64 << 20;

const MISSING: &str = "<!doctype html><meta charset=utf-8><title>Headwater</title>\
<p>Headwater is running, but its pages have not been built. \
<code>cargo xtask demo</code> builds them and starts the stack.</p>\
<p>The videos are there all the same: <a href=/media/>what can be played</a>.</p>\n";

/// What answers every path that is not media.
#[derive(Clone)]
pub struct Pages(Arc<Inner>);

struct Inner {
    files: HashMap<String, Page>,
    /// What the pages are told of the stack; known only once it listens.
    about: OnceLock<Page>,
}

struct Page {
    headers: HeaderMap,
    body: Bytes,
}

impl Pages {
    /// Reads the folder of built pages; one that is not there gives the plain page.
    ///
    /// # Errors
    /// When the folder is there but cannot be read, or holds more than 64 MiB.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let mut pages = HashMap::new();
        if dir.join("index.html").is_file() {
            let mut total = 0;
            read_folder(dir, "", &mut total, &mut pages)?;
        } else {
            pages.insert("/index.html".into(), Page::new("index.html", MISSING.into()));
        }
        for (name, file) in [("/", "/index.html"), ("/watch", "/watch.html")] {
            if let Some(page) = pages.get(file) {
                let twin = Page { headers: page.headers.clone(), body: page.body.clone() };
                pages.insert(name.into(), twin);
            }
        }
        Ok(Self(Arc::new(Inner { files: pages, about: OnceLock::new() })))
    }

    /// Sets what `/stack.json` answers; only the first call counts.
    pub fn tell(&self, about: &serde_json::Value) {
        let _ = self.0.about.set(Page::new("stack.json", about.to_string().into()));
    }

    /// Answers one request.
    pub fn respond(&self, request: &Request<Body>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let page = match request.uri().path() {
            "/stack.json" => self.0.about.get(),
            path => self.0.files.get(path),
        };
        let Some(page) = page else {
            return Problem::new(StatusCode::NOT_FOUND).into_response();
        };
        let current = Validators::of(&page.headers);
        let outcome = conditional::evaluate(request.method(), request.headers(), current);
        let mut response = Response::new(match (outcome, request.method()) {
            (Outcome::Proceed, &Method::GET) => Body::from(page.body.clone()),
            _ => Body::empty(),
        });
        *response.headers_mut() = page.headers.clone();
        if let Some(status) = outcome.status() {
            *response.status_mut() = status;
        } else {
            let length = HeaderValue::from(page.body.len());
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        response
    }
}

impl Page {
    fn new(name: &str, body: Bytes) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let kind = match extension {
            "html" => "text/html; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "json" | "map" => "application/json",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "ico" => "image/x-icon",
            "txt" => "text/plain; charset=utf-8",
            "woff2" => "font/woff2",
            _ => "application/octet-stream",
        };
        // The bundles' names hold the hash of their content; everything else is asked for again.
        let lasting = match extension {
            "js" | "css" | "map" if name.contains('-') => "public, max-age=31536000, immutable",
            _ => "no-cache",
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(lasting));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if extension == "html" {
            headers.insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; \
                     style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                     object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
                ),
            );
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        if let Ok(tag) = HeaderValue::try_from(format!("\"{:016x}\"", fingerprint(&body))) {
            headers.insert(header::ETAG, tag);
        }
        Self { headers, body }
    }
}

fn read_folder(
    dir: &Path,
    prefix: &str,
    total: &mut u64,
    pages: &mut HashMap<String, Page>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let path = format!("{prefix}/{name}");
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            read_folder(&entry.path(), &path, total, pages)?;
        } else {
            *total += metadata.len();
            if *total > MAX_BYTES {
                return Err(io::Error::other("the folder of pages holds more than 64 MiB"));
            }
            let page = Page::new(&name, std::fs::read(entry.path())?.into());
            pages.insert(path, page);
        }
    }
    Ok(())
}

/// FNV-1a over 64 bits: enough to tell one build of a page from another.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

//! The cache itself before a trace: requests go through its service, answers come from an origin in
//! this process. What it finds in memory is what the model of its tier is held against.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::{Cache, Keep};
use headwater_net::Body;
use http::{HeaderValue, Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::Result;
use crate::measure::{Counted, warmed_up};
use crate::traffic::Trace;
use crate::watched::Watched;

/// How often the tasks of a fill are let run before it must be over.
const TURNS: usize = 1000;

/// Answers `/N` with a body of the size of object N.
#[derive(Clone)]
struct Origin {
    sizes: Arc<[u32]>,
    bytes: Bytes,
    /// What tells the cache by what it keeps each, where somebody does.
    watched: Option<Watched>,
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let object = request.uri().path().trim_start_matches('/').parse::<usize>();
        let size =
            object.as_ref().ok().and_then(|object| self.sizes.get(*object)).copied().unwrap_or(0);
        let mut response = Response::new(Body::from(self.bytes.slice(..size as usize)));
        let fields = response.headers_mut();
        fields.insert("cache-control", HeaderValue::from_static("max-age=31536000"));
        if let Some((watched, object)) = self.watched.as_ref().zip(object.ok()) {
            response.extensions_mut().insert(Keep::by(watched.of(object as u32)));
        }
        ready(Ok(response))
    }
}

/// What a cache with so many bytes of memory and no disk finds; `told` what is worth keeping, or not.
///
/// # Errors
/// When a fill does not end.
pub fn measure(capacity: u64, trace: &Trace, told: bool) -> Result<Counted> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let watched = told.then(|| Watched::new(trace));
    runtime.block_on(run(capacity, trace, watched))
}

async fn run(capacity: u64, trace: &Trace, watched: Option<Watched>) -> Result<Counted> {
    let sizes: Arc<[u32]> = trace.objects.iter().map(|object| object.bytes).collect();
    let largest = sizes.iter().max().copied().unwrap_or(0);
    let bytes = vec![0; largest as usize].into();
    let origin = Origin { sizes: Arc::clone(&sizes), bytes, watched: watched.clone() };
    let cache = Cache::builder().ram(capacity).build();
    let mut service = cache.layer().layer(origin);
    let metrics = cache.metrics();
    let mut counted = Counted::default();
    for (nth, asked) in trace.requests.iter().enumerate() {
        let uri = format!("http://video.example/{}", asked.object);
        if let Some(watched) = &watched {
            watched.asked(asked.object, asked.at_ms);
        }
        let before = metrics.hits.get();
        let response = service.call(Request::get(uri).body(Body::empty())?).await?;
        drop(response.into_body().collect(u64::MAX).await?);
        let hit = metrics.hits.get() > before;
        let mut turns = 0;
        while !hit && metrics.fill_bytes.get() > 0 {
            turns += 1;
            if turns > TURNS {
                return Err("a fill of the cache does not end".into());
            }
            tokio::task::yield_now().await;
        }
        if nth >= warmed_up(trace) {
            counted.add(sizes.get(asked.object as usize).copied().unwrap_or(0), asked.starts, hit);
        }
    }
    Ok(counted)
}

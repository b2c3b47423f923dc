//! Followers of one fill in this process, on one thread: what a core of an edge does for them.

use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use headwater_cache::{Cache, CacheService};
use headwater_net::Body;
use http::Request;
use http_body::Body as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower_layer::Layer;
use tower_service::Service;

use super::drip::Drip;
use super::{FirstByte, Inside, OBJECT_BYTES, middle};
use crate::load::Result;

/// How long the body takes.
const OVER: Duration = Duration::from_secs(1);

/// How long the origin keeps everyone waiting for its head: all have come by then.
const HEAD: Duration = Duration::from_millis(500);

pub(super) async fn measure(followers: u32, rounds: u32) -> Result<Inside> {
    let mut first = Vec::new();
    let (mut fetches, mut memory_bytes) = (0, 0);
    for round in 0..rounds {
        let drip = Drip::over(OVER);
        let cache = Cache::builder().name("bench").ram(64 << 20).build();
        let before = held()?;
        let service = cache.layer().layer(Late(drip.clone()));
        let (times, peak) = one(&service, followers, round).await?;
        first.push(FirstByte::of(&times));
        fetches = fetches.max(drip.asked());
        memory_bytes = memory_bytes.max(peak.saturating_sub(before));
    }
    Ok(Inside { followers, fetches, first_byte: middle(first)?, memory_bytes })
}

/// How far behind the first byte of all, the leader's or an earlier one, each follower's was, and
/// the most that the process held meanwhile.
async fn one(
    service: &CacheService<Late>,
    followers: u32,
    round: u32,
) -> Result<(Vec<Duration>, u64)> {
    let mut tasks = JoinSet::new();
    let ask = |tasks: &mut JoinSet<_>| {
        let mut service = service.clone();
        let request = Request::get(format!("/drip/{round}")).header("host", "edge.example");
        let request = request.body(Body::empty());
        tasks.spawn_local(async move {
            let response = service.call(request?).await.unwrap_or_else(|never| match never {});
            let mut body = response.into_body();
            let mut first = None;
            let mut read = 0;
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                read += frame?.data_ref().map_or(0, |data| data.len() as u64);
                first.get_or_insert_with(Instant::now);
            }
            match first {
                Some(first) if read == OBJECT_BYTES => Ok(first),
                _ => Err(format!("a follower got {read} bytes").into()),
            }
        });
    };
    let mut leading = JoinSet::new();
    ask(&mut leading);
    tokio::task::yield_now().await;
    for _ in 0..followers {
        ask(&mut tasks);
    }
    let done = Rc::new(Notify::new());
    let watched = Rc::clone(&done);
    let peak = tokio::task::spawn_local(async move {
        let mut peak = 0;
        loop {
            peak = peak.max(held().unwrap_or_default());
            tokio::select! {
                () = watched.notified() => return peak,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    });
    let leader = leading.join_next().await.ok_or("no leader")??;
    let leader: Instant = leader?;
    let mut firsts = Vec::new();
    while let Some(first) = tasks.join_next().await {
        let first: Result<Instant> = first?;
        firsts.push(first?);
    }
    done.notify_one();
    let earliest = firsts.iter().copied().fold(leader, Instant::min);
    let times = firsts.iter().map(|first| first.duration_since(earliest)).collect();
    Ok((times, peak.await?))
}

/// What this process holds now.
fn held() -> std::io::Result<u64> {
    crate::cpu::memory(std::process::id(), "VmRSS")
}

/// Keeps its askers waiting a while.
#[derive(Clone)]
struct Late(Drip);

impl Service<Request<Body>> for Late {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<
        Box<dyn Future<Output = std::result::Result<http::Response<Body>, Self::Error>> + Send>,
    >;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::result::Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut drip = self.0.clone();
        Box::pin(async move {
            tokio::time::sleep(HEAD).await;
            drip.call(request).await
        })
    }
}

//! Compressing the manifests of a two-hour title as an edge does it, once for each coding that clients
//! ask for and each level that an operator may choose: bytes and CPU time. Hits cost none of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "benches fail loudly")]

#[path = "support/title.rs"]
mod title;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use headwater::edge::CompressLayer;
use headwater::edge::compress::Level;
use headwater::net::Body;
use headwater::packager::{Part, Presentation, Resource};
use http::{Request, Response};
use http_body_util::BodyExt;
use rustix::time::{ClockId, clock_gettime};
use title::Title;
use tower::{Layer, Service, ServiceExt};

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Some(title) = Title::make() else { return };
    let presentation = title.presentation();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let mut group = criterion.benchmark_group("compress");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1));
    for (name, resource) in title::manifests() {
        let (content_type, text) = text(&presentation, resource);
        println!("{name}: {} bytes", text.len());
        group.throughput(Throughput::Bytes(text.len() as u64));
        let origin = tower::service_fn(move |_: Request<Body>| {
            let response = Response::builder().header("content-type", content_type);
            let response = response.body(Body::from(text.clone())).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        for coding in ["gzip", "br", "zstd"] {
            for level in [Level::Fast, Level::Balanced, Level::Small] {
                let edge = CompressLayer::new().level(level).layer(origin.clone());
                let (coded, length) = runtime.block_on(ask(edge.clone(), coding));
                println!("{name} asked for as {coding}, {level:?}: {length} bytes, as {coded}");
                group.bench_function(format!("{name}/{coding}/{level:?}"), |b| {
                    b.iter_custom(|times| {
                        let before = cpu_time();
                        for _ in 0..times {
                            runtime.block_on(ask(edge.clone(), coding));
                        }
                        cpu_time().saturating_sub(before)
                    });
                });
            }
        }
    }
    group.finish();
    criterion.final_summary();
}

/// That of this thread, which does not count what else the machine does.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// A manifest, with its media type.
fn text(presentation: &Presentation, resource: Resource) -> (&'static str, Bytes) {
    let plan = presentation.plan(resource).unwrap().ready().unwrap();
    let mut text = Vec::new();
    for part in plan.parts {
        let Part::Bytes(bytes) = part else { panic!("a manifest is text") };
        text.extend_from_slice(&bytes);
    }
    (plan.content_type, text.into())
}

/// The length of an answer, and in which coding it came.
async fn ask<S>(mut edge: S, coding: &str) -> (String, usize)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = Request::builder().header("accept-encoding", coding).body(Body::empty()).unwrap();
    let Ok(response) = edge.ready().await.unwrap().call(request).await;
    let coded = response.headers().get("content-encoding");
    let coded = coded.map_or("none", |coded| coded.to_str().unwrap()).to_owned();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    (coded, length)
}

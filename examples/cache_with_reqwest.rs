//! The cache alone, in front of a client that is not Headwater's: reqwest fetches, axum serves, and
//! between them each URL is fetched once, however many ask for it.
//!
//! ```sh
//! cargo run --example cache_with_reqwest -- https://origin.example
//! curl --head http://127.0.0.1:3000/film.mp4
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to the terminal")]

use axum::Router;
use axum::body::Body as AxumBody;
use headwater::cache::Cache;
use headwater::net::Body;
use http::{Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use reqwest::redirect::Policy;
use tower::{Layer as _, ServiceBuilder, service_fn};

/// What the origin answers, by reqwest. Redirects and codings are passed on: what is cached is what the
/// origin said.
async fn fetch(
    client: reqwest::Client,
    origin: String,
    request: Request<Body>,
) -> reqwest::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    // That of the origin's URL is said in its place.
    parts.headers.remove(header::HOST);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut asked =
        client.request(parts.method, format!("{origin}{target}")).headers(parts.headers);
    if !body.is_end_stream() {
        asked = asked.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    Ok(Response::from(asked.send().await?).map(Body::stream))
}

/// Everything below `origin`, through a cache.
pub fn app(origin: String) -> reqwest::Result<Router> {
    let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let upstream = service_fn(move |request| fetch(client.clone(), origin.clone(), request));
    let cache = Cache::builder().name("cache").ram(256 << 20).build();
    // Headwater's services take Headwater's body; axum takes any body they answer with.
    let cached = ServiceBuilder::new()
        .map_request(|request: Request<AxumBody>| request.map(Body::stream))
        .service(cache.layer().layer(upstream));
    Ok(Router::new().fallback_service(cached))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin =
        std::env::args().nth(1).ok_or("name the origin, such as https://origin.example")?;
    let app = app(origin.trim_end_matches('/').to_owned())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

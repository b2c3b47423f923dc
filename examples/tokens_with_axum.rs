//! Headwater's access tokens before an axum application, without the rest of Headwater: whoever has a token
//! for a film is let in to what is below its path, and the application sees no token.
//!
//! ```sh
//! cargo run --example tokens_with_axum
//! ```
//!
//! and then open one of the addresses that it prints. `cargo test --example tokens_with_axum` asks for
//! them itself.

#![allow(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::extract::{Path, Request};
use axum::{Extension, Router, routing::get};
use headwater::edge::TokenLayer;
use headwater::edge::rates::Holder;
use headwater::edge::tokens::{Grant, Key, Places, TokenRules, Verifier};
use headwater::net::{Body, Clock};
use http::Response;
use tower::make::Shared;
use tower::{Service, ServiceBuilder};

/// What is there to see. Who holds the token is among the request's extensions.
async fn film(
    Path((film, file)): Path<(u32, String)>,
    Extension(holder): Extension<Holder>,
) -> String {
    format!("{file} of film {film}, for the holder {:x}\n", holder.0)
}

/// A key, and by it the layer. A service in any language may sign tokens with the same secret.
fn tokens(clock: &Clock) -> Result<(Key, TokenLayer), Box<dyn std::error::Error>> {
    let key = Key::signing("2026-11", b"read this from a file: 32 bytes or more")?;
    let verifier = Verifier::new([key.clone()])?;
    // In the path, relative URLs of a playlist keep the token.
    let rules = TokenRules::new(verifier, Places::default().path("/t/"));
    Ok((key, TokenLayer::new(rules).clock(clock.clone())))
}

/// The layer goes around the router, not on it: the path has its token taken off before a route is chosen.
fn app(
    tokens: TokenLayer,
) -> impl Service<Request, Response = Response<AxumBody>, Error = Infallible, Future: Send> + Clone + Send
{
    let router = Router::new().route("/films/{film}/{file}", get(film));
    ServiceBuilder::new()
        .map_response(|response: Response<Body>| response.map(AxumBody::new))
        .layer(tokens)
        .service(router)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Clock::system();
    let (key, tokens) = tokens(&clock)?;
    let end = clock.now().plus(Duration::from_secs(3600));
    let token = Grant::below("/films/7/", end)?.sign(&key)?;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    println!("http://{address}/t/{token}/films/7/index.m3u8");
    println!("http://{address}/films/7/index.m3u8?token={token}");
    println!("http://{address}/films/8/index.m3u8?token={token} is refused");
    axum::serve(listener, Shared::new(app(tokens))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use headwater::net::Timestamp;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn who_has_a_token_is_let_in_to_what_it_is_for() {
        let clock = Clock::manual(Timestamp::from_secs(1_000));
        let (key, tokens) = tokens(&clock).unwrap();
        let token = Grant::below("/films/7/", Timestamp::from_secs(1_060)).unwrap();
        let token = token.sign(&key).unwrap();
        let app = app(tokens);
        let ask = async |path: &str| {
            let path = path.replace("TOKEN", &token);
            let request = Request::builder().uri(path).body(AxumBody::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        for path in ["/t/TOKEN/films/7/a.m4s", "/films/7/a.m4s?token=TOKEN"] {
            let (status, said) = ask(path).await;
            assert!(status == 200 && said.starts_with("a.m4s of film 7, for"), "{path}: {said}");
        }
        assert_eq!(ask("/films/8/a.m4s?token=TOKEN").await.0, 403);
        assert_eq!(ask("/films/7/a.m4s").await.0, 401);
        clock.advance(Duration::from_secs(66));
        assert_eq!(ask("/t/TOKEN/films/7/a.m4s").await.0, 401);
    }
}

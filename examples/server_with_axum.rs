//! Headwater's listeners under an axum application: HTTP/1.1, HTTP/2 and HTTP/3 on one port, drained
//! on Ctrl-C. Nothing else of Headwater is needed.
//!
//! ```sh
//! cargo run --example server_with_axum
//! curl --insecure https://localhost:8443/
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to the terminal")]

use std::time::Duration;

use axum::extract::Request;
use axum::{Router, routing::get};
use headwater::net::server::{Server, ServerHandle, Tls};
use headwater::net::{Body, Clock, ConnInfo};
use http::Response;
use tower::ServiceBuilder;

/// Says by which protocol the request came.
async fn hello(request: Request) -> String {
    let conn = request.extensions().get::<ConnInfo>();
    let protocol = conn.map_or("?", |conn| conn.protocol.as_str());
    format!("You came by {protocol}.\n")
}

/// An application of axum's, behind Headwater's listeners.
pub fn serve(at: &str, tls: Tls) -> Result<ServerHandle, Box<dyn std::error::Error>> {
    let app = Router::new().route("/", get(hello));
    // axum takes any body in; what it answers with becomes Headwater's.
    let app = ServiceBuilder::new()
        .map_response(|response: Response<axum::body::Body>| response.map(Body::stream))
        .service(app);
    Ok(Server::builder().https(at).tls(tls).serve(move |_worker| app.clone())?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system())?;
    let server = serve("localhost:8443", tls)?;
    for addr in server.https_addrs() {
        println!("https://{addr}/");
    }
    tokio::signal::ctrl_c().await?;
    server.drain(Duration::from_secs(10)).await;
    Ok(())
}

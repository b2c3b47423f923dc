//! The packager alone, as one service among an axum application's routes.
//!
//! ```sh
//! cargo run --example packager_with_axum -- FOLDER_OF_MP4_FILES
//! ```
//!
//! and then open `http://127.0.0.1:3000/media/NAME/main.m3u8` in a player, where `NAME` is the name
//! of a file in the folder without its extension.

#![allow(clippy::print_stdout, reason = "an example talks to the terminal")]

use axum::body::Body as AxumBody;
use axum::{Router, routing::get};
use headwater::net::Body;
use headwater::packager::{Assets, Packager};
use http::Request;
use tower::ServiceBuilder;

/// The application, with the videos of a folder.
pub fn app(folder: &str) -> Result<Router, Box<dyn std::error::Error>> {
    let packager = Packager::builder(Assets::from_dir(folder)?).build();

    // Headwater's services take Headwater's body; axum takes any body they answer with.
    let media = ServiceBuilder::new()
        .map_request(|request: Request<AxumBody>| request.map(Body::stream))
        .service(packager);
    Ok(Router::new()
        .route("/", get(|| async { "The videos are below /media/.\n" }))
        .nest_service("/media", media))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder of MP4 files")?;
    let app = app(&folder)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("http://{}/media/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

//! One HTTP/3 request, from its stream to its answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, Version};
use tower_service::Service;

use super::body::{self, Sent, within};
use super::connection::Conn;
use super::early;
use super::framing::code::{Code, Wrong};
use super::framing::head::{self, Head, Refused};
use super::framing::priority::Urgency;
use super::headers;
use super::received;
use super::sender::Sender;
use super::stream::{Incoming, Trouble};
use crate::interim::{Room, Said};
use crate::server::limited::{has_too_many, too_large};
use crate::server::malformed::content_length;
use crate::server::respond::{is_head, settle};
use crate::server::shared::Shared;
use crate::{Body, BodyError, Protocol};

/// Answers the request on a stream; gives back the sending side when all was sent, so that a drain
/// can wait until it has arrived.
pub(super) async fn serve<S>(
    mut sender: Sender,
    mut incoming: Incoming,
    conn: Arc<Conn>,
    room: Arc<Room>,
    service: Shared<S>,
) -> Option<Sender>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let (head, length) = match read(&mut incoming, &conn).await {
        Ok(read) => read,
        Err(Refused::TooLarge) => return refuse_large(sender, &conn).await,
        Err(Refused::Wrong(wrong)) => {
            conn.wasted();
            match wrong {
                Wrong::Connection(code) => conn.close(code),
                Wrong::Stream(code) => {
                    sender.reset(code);
                    incoming.stop(code);
                }
            }
            return None;
        }
    };
    conn.worker.counters.request(Protocol::H3);
    let to_head = is_head(&head.method);
    let urgency = Urgency::of(&head.headers).unwrap_or(Urgency::DEFAULT);
    let limits = &conn.worker.limits;
    if length.is_some_and(|len| len > limits.max_body) {
        drop(incoming);
        let refused = too_large(limits).into_response();
        return answer(refused, Asked { to_head, urgency }, sender, &conn).await.ok();
    }
    let is_early = incoming.is_early();
    let body = match received::body(incoming, &conn, length) {
        Ok((body, broken)) => {
            sender.heed(broken);
            body
        }
        Err(code) => {
            conn.wasted();
            sender.reset(code);
            return None;
        }
    };
    let (mut info, held) = early::admit(&conn, is_early, &head.method, &body);
    // Boxed: rare.
    if let Some(handshake) = held
        && !Box::pin(early::shown(handshake, &sender)).await
    {
        return None;
    }
    let mut headers = head.headers;
    if let Some(proxies) = &conn.forwarded {
        conn.worker.fronts.heed(proxies, &mut headers, &mut info);
    }
    let mut unanswered = room.begin();
    info.interim = Some(unanswered.interim());
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = Version::HTTP_3;
    *request.headers_mut() = headers;
    request.extensions_mut().insert(info);

    let response = {
        let mut called = pin!(service.call(request));
        loop {
            tokio::select! {
                biased;
                Ok(response) = &mut called => break response,
                said = poll_fn(|cx| unanswered.poll_said(cx)) => {
                    Box::pin(tell(said, &mut sender, &conn)).await.ok()?;
                }
                // Made only where there is something to wait for.
                () = async { sender.stopped().await } => return None,
            }
        }
    };
    let said = unanswered.end();
    if !said.is_empty() {
        Box::pin(tell(said, &mut sender, &conn)).await.ok()?;
    }
    match answer(response, Asked { to_head, urgency }, sender, &conn).await {
        Ok(sender) => Some(sender),
        Err(error) => {
            tracing::debug!(%error, "answer cut off");
            None
        }
    }
}

/// Reads the request, and the length that it promises of its body.
///
/// # Errors
/// Where it is none.
async fn read(incoming: &mut Incoming, conn: &Conn) -> Result<(Head, Option<u64>), Refused> {
    const INCOMPLETE: Refused = Refused::Wrong(Wrong::Stream(Code::RequestIncomplete));
    let limits = &conn.worker.limits;
    let section = match within(limits.header_timeout, pin!(incoming.section())).await {
        Ok(Ok(section)) => section,
        Ok(Err(Trouble::Wrong(wrong))) => return Err(Refused::Wrong(wrong)),
        Ok(Err(Trouble::Lost(error))) => {
            tracing::debug!(%error, "request taken back");
            return Err(INCOMPLETE);
        }
        Err(_) => return Err(INCOMPLETE),
    };
    let head = head::request(&section, limits.max_header_bytes as usize)?;
    if has_too_many(&head.headers, limits) {
        return Err(Refused::TooLarge);
    }
    match content_length(&head.headers) {
        Ok(length) => Ok((head, length)),
        Err(()) => Err(Refused::Wrong(Wrong::Stream(Code::Message))),
    }
}

/// Answers a request whose fields are more than is taken.
async fn refuse_large(sender: Sender, conn: &Conn) -> Option<Sender> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let asked = Asked { to_head: false, urgency: Urgency::DEFAULT };
    Box::pin(answer(response, asked, sender, conn)).await.ok()
}

/// What an answer needs to know of its request.
struct Asked {
    to_head: bool,
    urgency: Urgency,
}

async fn answer(
    mut response: Response<Body>,
    asked: Asked,
    mut sender: Sender,
    conn: &Conn,
) -> Result<Sender, BodyError> {
    let patience = conn.worker.limits.write_timeout;
    let promised = settle(&mut response, asked.to_head);
    // RFC 9218 §8: who answers may know better.
    let urgency = Urgency::of(response.headers()).unwrap_or(asked.urgency);
    let (parts, body) = response.into_parts();
    let data = body::one_frame(&body, promised);
    let largest = sender.largest_section();
    let head = headers::frame(parts.status, &parts.headers, || conn.date.now(), data, largest);
    let head = head.ok_or_else(too_many_fields)?;
    sender.prioritise(urgency);
    match body::send(&mut sender, head, body, promised, patience).await? {
        Sent::Data => {}
        // Boxed: rare.
        Sent::Trailers(trailers) => {
            Box::pin(send_trailers(&mut sender, &trailers, patience)).await?;
        }
    }
    sender.finish();
    Ok(sender)
}

/// Sends interim responses; what is more than the client takes is left out.
async fn tell(said: Said, sender: &mut Sender, conn: &Conn) -> Result<(), BodyError> {
    for (status, fields) in said {
        if let Some(frame) = headers::interim(status, &fields, sender.largest_section()) {
            body::write(sender, &mut [frame], conn.worker.limits.write_timeout).await?;
        }
    }
    Ok(())
}

async fn send_trailers(
    sender: &mut Sender,
    trailers: &HeaderMap,
    patience: std::time::Duration,
) -> Result<(), BodyError> {
    let frame = headers::trailers(trailers, sender.largest_section());
    body::write(sender, &mut [frame.ok_or_else(too_many_fields)?], patience).await
}

fn too_many_fields() -> BodyError {
    BodyError::source("the answer's fields are more than the client takes")
}

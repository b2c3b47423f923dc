//! One HTTP/3 request, from its stream to its answer.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{Request, Response, header};
use tower_service::Service;

use super::Conn;
use super::body::{self, Received, Sent};
use super::early;
use super::headers;
use crate::server::limited::too_large;
use crate::server::malformed::is_malformed;
use crate::server::oneshot::Oneshot;
use crate::server::quic_stream::{SendHalf, Sender, Shared, Transport, Urgency};
use crate::server::respond::{is_head, promised, settle};
use crate::{Body, BodyError, Protocol};

/// Answers the request; gives back the sending side of its stream when all was sent, so that a drain
/// can wait until it has arrived.
pub(super) async fn serve<S>(
    resolver: RequestResolver<Transport, Bytes>,
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    service: S,
) -> Option<Sender>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let patience = conn.worker.limits.header_timeout;
    let (request, stream) = match body::within(patience, pin!(resolver.resolve_request())).await {
        Ok(Ok(resolved)) => resolved,
        // h3 has answered 431.
        Ok(Err(StreamError::HeaderTooBig { .. })) => {
            let mut sender = shared.take()?;
            sender.finish();
            return Some(sender);
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "request not understood");
            conn.close_for_frames(&shared);
            conn.wasted();
            return None;
        }
        Err(_) => {
            conn.wasted();
            shared.take()?.reset(Code::H3_REQUEST_INCOMPLETE);
            return None;
        }
    };
    if is_malformed(request.headers()) {
        conn.wasted();
        shared.take()?.reset(Code::H3_MESSAGE_ERROR);
        return None;
    }
    shared.parsed();
    conn.worker.counters.request(Protocol::H3);
    let (send, recv) = stream.split();
    let (mut parts, ()) = request.into_parts();
    let to_head = is_head(&parts.method);
    let urgency = Urgency::of(&parts.headers).unwrap_or(Urgency::DEFAULT);
    let limits = &conn.worker.limits;
    let length = promised(&parts.headers);
    if length.is_some_and(|len| len > limits.max_body) {
        drop(recv);
        let refused = too_large(limits).into_response();
        let asked = Asked { to_head, urgency };
        return answer(refused, asked, send, &shared, &conn).await.ok();
    }
    let body = Received::body(recv, Arc::clone(&shared), Arc::clone(&conn), length).await;
    let (info, held) = early::admit(&conn, &shared, &parts.method, &body);
    // Boxed: rare.
    if let Some(handshake) = held
        && !Box::pin(early::shown(handshake, &shared)).await
    {
        return None;
    }
    parts.extensions.insert(info);

    let response = {
        let mut called = pin!(Oneshot::new(service, Request::from_parts(parts, body)));
        tokio::select! {
            biased;
            Ok(response) = &mut called => response,
            () = shared.stopped() => return None,
        }
    };
    match answer(response, Asked { to_head, urgency }, send, &shared, &conn).await {
        Ok(sender) => Some(sender),
        Err(error) => {
            tracing::debug!(%error, "answer cut off");
            None
        }
    }
}

/// What an answer needs to know of its request.
struct Asked {
    to_head: bool,
    urgency: Urgency,
}

async fn answer(
    mut response: Response<Body>,
    asked: Asked,
    mut send: RequestStream<SendHalf, Bytes>,
    shared: &Shared,
    conn: &Conn,
) -> Result<Sender, BodyError> {
    let patience = conn.worker.limits.write_timeout;
    let promised = settle(&mut response, asked.to_head);
    // RFC 9218 §8: who answers may know better.
    let urgency = Urgency::of(response.headers()).unwrap_or(asked.urgency);
    let (mut parts, body) = response.into_parts();
    let data = body::one_frame(&body, promised);
    let head = headers::frame(parts.status, &parts.headers, || conn.date.now(), data);
    let head = if let Some(head) = head {
        head
    } else {
        for name in CONNECTION_SPECIFIC {
            parts.headers.remove(name);
        }
        parts.headers.entry(header::DATE).or_insert_with(|| conn.date.now());
        // Boxed, like the trailers, since they are rare and would make every request's future larger.
        let mut head = Box::pin(send.send_response(Response::from_parts(parts, ())));
        body::within(patience, head.as_mut()).await?.map_err(BodyError::source)?;
        data.map_or_else(Bytes::new, |data| {
            let (head, len) = body::data_header(data);
            Bytes::copy_from_slice(&head[..len])
        })
    };
    let mut sender = shared.take().ok_or(BodyError::Aborted)?;
    sender.prioritise(urgency);
    match body::send(&mut sender, head, body, promised, patience).await? {
        Sent::Data => sender.finish(),
        Sent::Trailers(trailers) => {
            shared.put_back(sender);
            let mut sending = Box::pin(send.send_trailers(trailers));
            body::within(patience, sending.as_mut()).await?.map_err(BodyError::source)?;
            drop(sending);
            sender = shared.take().ok_or(BodyError::Aborted)?;
            sender.finish();
        }
    }
    Ok(sender)
}

/// Fields that speak about an HTTP/1.1 connection (RFC 9114 §4.2).
const CONNECTION_SPECIFIC: [header::HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, KEEP_ALIVE];
const KEEP_ALIVE: header::HeaderName = header::HeaderName::from_static("keep-alive");

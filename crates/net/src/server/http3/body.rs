//! An answer's body on its stream: straight into quinn, without a copy.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as HttpBody;

use super::sender::Sender;
use crate::server::respond::Length;
use crate::{Body, BodyError};

/// Chunks handed to quinn in one go.
const BATCH: usize = 4;

/// How sending a body ended, where nothing failed.
pub(super) enum Sent {
    /// All data is in quinn; the stream is to be finished.
    Data,
    /// The same, and these trailers are to follow.
    Trailers(HeaderMap),
}

/// What `future` gives, unless that takes longer than `patience`. What is ready at once costs no
/// reading of the clock.
///
/// # Errors
/// [`BodyError::Aborted`] when it takes longer.
pub(super) async fn within<T>(
    patience: Duration,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Result<T, BodyError> {
    if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Ok(ready);
    }
    tokio::time::timeout(patience, future).await.map_err(|_| BodyError::Aborted)
}

/// Hands the chunks to quinn, which must take some within each `patience`.
pub(super) async fn write(
    sender: &mut Sender,
    mut chunks: &mut [Bytes],
    patience: Duration,
) -> Result<(), BodyError> {
    while !chunks.is_empty() {
        let written = {
            let writing = pin!(sender.write(chunks));
            within(patience, writing).await
        };
        match written {
            Ok(Ok(_)) if sender.is_too_slow() => return Err(BodyError::Aborted),
            Ok(written) => {
                let whole = written.map_err(BodyError::source)?.chunks;
                chunks = &mut chunks[whole..];
            }
            // It is not its client that keeps it waiting.
            Err(_) if sender.is_behind() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends `body` in DATA frames without copying it; one frame for all of it when its length is
/// known, as [`one_frame`] says. What `head` holds goes out first, and with it. A client that wants
/// no more ends the waiting for the body.
///
/// # Errors
/// When the body failed or did not have its promised length (the stream is then reset with
/// H3_INTERNAL_ERROR), or the client wants no more, or has taken nothing for `patience`.
pub(super) async fn send(
    sender: &mut Sender,
    head: Bytes,
    mut body: Body,
    promised: Option<u64>,
    patience: Duration,
) -> Result<Sent, BodyError> {
    let known = promised.or(body.exact_len());
    let mut length = Length::new(known);
    let mut batch: [Bytes; BATCH] = Default::default();
    let mut filled = 0;
    if !head.is_empty() {
        batch[0] = head;
        filled = 1;
    }
    let result = async {
        if let Body::Full(chunks) = body {
            for chunk in chunks {
                length.add(chunk.len())?;
                batch[filled] = chunk;
                filled += 1;
                if filled == BATCH {
                    write(sender, &mut batch, patience).await?;
                    filled = 0;
                }
            }
            length.end()?;
            write(sender, &mut batch[..filled], patience).await?;
            return Ok(Sent::Data);
        }
        let mut client_left = pin!(sender.stopped());
        if filled > 0 {
            // The rest may take its time.
            write(sender, &mut batch[..filled], patience).await?;
            filled = 0;
        }
        loop {
            let frame = tokio::select! {
                biased;
                frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)) => frame,
                () = &mut client_left => return Err(BodyError::Aborted),
            };
            let Some(frame) = frame else { break };
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    length.add(data.len())?;
                    if known.is_none() {
                        let (head, len) = data_header(data.len() as u64);
                        batch[filled] = Bytes::copy_from_slice(&head[..len]);
                        filled += 1;
                    }
                    batch[filled] = data;
                    filled += 1;
                    write(sender, &mut batch[..filled], patience).await?;
                    filled = 0;
                }
                Err(frame) => {
                    length.end()?;
                    if let Ok(trailers) = frame.into_trailers() {
                        return Ok(Sent::Trailers(trailers));
                    }
                }
            }
        }
        length.end()?;
        Ok(Sent::Data)
    }
    .await;
    if result.is_err() {
        sender.fail();
    }
    result
}

/// The length of the one DATA frame that a body goes into, if it does.
pub(super) fn one_frame(body: &Body, promised: Option<u64>) -> Option<u64> {
    promised.or(body.exact_len()).filter(|&len| len > 0)
}

/// The head of a DATA frame (RFC 9114 §7.2.1): type 0 and the length as a variable-length integer
/// (RFC 9000 §16); and how many of the bytes it takes.
pub(super) fn data_header(len: u64) -> ([u8; 9], usize) {
    let mut head = [0u8; 9];
    let (form, size) = match len {
        0..0x40 => (0u64, 1),
        0x40..0x4000 => (0x4000, 2),
        0x4000..0x4000_0000 => (0x8000_0000, 4),
        _ => (0xc000_0000_0000_0000, 8),
    };
    let coded = (len | form).to_be_bytes();
    head[1..=size].copy_from_slice(&coded[8 - size..]);
    (head, 1 + size)
}

#[cfg(test)]
mod tests {
    fn data_header(len: u64) -> Vec<u8> {
        let (head, len) = super::data_header(len);
        head[..len].to_vec()
    }

    /// RFC 9000 §A.1.
    #[test]
    fn data_headers_hold_the_shortest_length() {
        assert_eq!(&data_header(37)[..], [0, 0x25]);
        assert_eq!(&data_header(15_293)[..], [0, 0x7b, 0xbd]);
        assert_eq!(&data_header(494_878_333)[..], [0, 0x9d, 0x7f, 0x3e, 0x7d]);
        assert_eq!(
            &data_header(151_288_809_941_952_652)[..],
            [0, 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]
        );
    }
}

//! Events of sessions as lines of JSON, written by a thread of their own.

use std::io::{self, Write};

use headwater_proto::session::SessionEvent;
use tokio::sync::mpsc;

/// Bytes that are made before they are written.
const BATCH: usize = 64 << 10;

/// Starts the thread; it ends when nobody is left who sends. Lines that cannot be written are lost, and the
/// log tells so.
pub(super) fn write<W>(mut events: mpsc::Receiver<SessionEvent>, mut sink: W) -> io::Result<()>
where
    W: Write + Send + 'static,
{
    let run = move || {
        let mut lines = Vec::new();
        while let Some(event) = events.blocking_recv() {
            let mut next = Some(event);
            while let Some(event) = next {
                if serde_json::to_writer(&mut lines, &event).is_ok() {
                    lines.push(b'\n');
                }
                next = if lines.len() < BATCH { events.try_recv().ok() } else { None };
            }
            if let Err(error) = sink.write_all(&lines).and_then(|()| sink.flush()) {
                tracing::warn!(%error, "events of sessions could not be written");
            }
            lines.clear();
        }
    };
    std::thread::Builder::new().name("session-events".to_owned()).spawn(run)?;
    Ok(())
}

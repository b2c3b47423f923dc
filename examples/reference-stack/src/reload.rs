//! SIGHUP: what is read from files is read again, without a connection being touched.

use headwater_net::server::Tls;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Error, say};

/// Reads the certificates again at each SIGHUP, as long as the runtime lives. Those of a first
/// start stay in force when the new ones cannot be used.
pub(crate) fn on_hangup(tls: Tls) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Threads)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let tls = tls.clone();
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(now)) => say(&format!(
                    "certificates were read again: {} in force, {} of them new",
                    now.total, now.added
                )),
                Ok(Err(error)) => say(&format!("certificates stay as they were: {error}")),
                Err(_) => {}
            }
        }
    });
    Ok(())
}

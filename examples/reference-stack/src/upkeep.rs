//! What the stack does when it is asked to read its files again, to open its log again, or to make
//! room for the process that takes over.
//!
//! A folder belongs to one process at a time, so the old one closes its disk tier when the new one
//! has come, and the new one opens it: what was stored and purged is there. Until the new one serves,
//! the old one answers from memory and upstream, and refuses purges, which would be lost. Should the
//! hand-over fail after that, the old process takes its folder back, and purges again. Memory starts
//! cold in the new process.

use headwater_edge::access_log::LogFile;
use headwater_edge::operator::Caches;
use headwater_net::server::{Duties, Tls};

use crate::clients::Lists;

/// See the module.
pub(crate) struct Upkeep {
    pub(crate) tls: Tls,
    pub(crate) caches: Caches,
    pub(crate) log_file: Option<LogFile>,
    pub(crate) lists: Lists,
}

impl Duties for Upkeep {
    /// Those of a first start stay in force when the new ones cannot be used.
    async fn reload(&self) {
        let tls = self.tls.clone();
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(now)) => self.say(&format!(
                "certificates were read again: {} in force, {} of them new",
                now.total, now.added
            )),
            Ok(Err(error)) => self.say(&format!("certificates stay as they were: {error}")),
            Err(_) => {}
        }
        let lists = self.lists.clone();
        match tokio::task::spawn_blocking(move || lists.reload()).await {
            Ok(Ok(true)) => self.say("lists of addresses were read again"),
            Ok(Err(error)) => self.say(&format!("lists of addresses stay as they were: {error}")),
            Ok(Ok(false)) | Err(_) => {}
        }
    }

    async fn reopen(&self) {
        let Some(file) = &self.log_file else { return };
        match file.reopen() {
            Ok(reopened) => file.put(reopened),
            Err(error) => self.say(&format!("the access log cannot be opened again: {error}")),
        }
    }

    async fn release(&self) {
        self.caches.release().await;
    }

    async fn resume(&self) {
        if let Err(error) = self.caches.resume().await {
            self.say(&format!("no purges are taken: {error}"));
        }
    }

    fn say(&self, text: &str) {
        crate::say(text);
    }
}

//! Interim responses for all who wait for one answer (RFC 9110 §15.2): a fetch that is shared has
//! one upstream and many clients, and each is told what the upstream says before it answers,
//! whenever it came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};

use super::{Interim, MAX_BYTES, To, encoded_len};

/// The most who are told what comes; one more is told what was said already, and then no more.
const MAX_WAITING: usize = 4096;

/// See the module. Clones are the same. It holds what was said, at most 16 KiB of it, and those
/// who wait, at most 4,096 of them, until the final answer [ends](Self::end) it.
#[derive(Clone, Debug, Default)]
pub struct Interims(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    said: Vec<(StatusCode, HeaderMap)>,
    bytes: usize,
    waiting: Vec<Interim>,
    ended: bool,
}

impl Interims {
    /// Where the upstream says them.
    pub fn interim(&self) -> Interim {
        Interim(To::Many(self.clone()))
    }

    /// Has a client told what was said, and what will be. One whose answer is there already hears
    /// nothing more, and is forgotten at the next.
    pub fn join(&self, client: &Interim) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        for (status, headers) in &state.said {
            client.send(*status, headers);
        }
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push(client.clone());
        }
    }

    /// What was said so far.
    pub fn said(&self) -> Vec<(StatusCode, HeaderMap)> {
        self.lock().said.clone()
    }

    /// The final answer is there: nothing more is taken, and nobody held.
    pub fn end(&self) {
        *self.lock() = State { ended: true, ..State::default() };
    }

    pub(super) fn take(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let mut state = self.lock();
        let bytes = encoded_len(status, headers);
        if state.ended || state.bytes + bytes > MAX_BYTES {
            return false;
        }
        state.bytes += bytes;
        state.said.push((status, headers.clone()));
        state.waiting.retain(|client| client.send(status, headers));
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use http::{HeaderValue, header};

    fn link(text: &'static str) -> HeaderMap {
        [(header::LINK, HeaderValue::from_static(text))].into_iter().collect()
    }

    fn links(told: &Interims) -> Vec<String> {
        let said = told.said();
        said.iter().map(|(_, all)| all["link"].to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn rfc_9110_15_2_who_comes_late_is_told_what_was_said() {
        let (many, early, late, gone) =
            (Interims::default(), Interims::default(), Interims::default(), Interims::default());
        many.join(&early.interim());
        many.join(&gone.interim());
        gone.end();
        assert!(many.interim().send(StatusCode::EARLY_HINTS, &link("a")));
        many.join(&late.interim());
        assert!(many.interim().send(StatusCode::EARLY_HINTS, &link("b")));
        assert_eq!((links(&early), links(&late)), (links(&many), vec!["a".into(), "b".into()]));
        assert!(links(&gone).is_empty());
        assert_eq!(many.lock().waiting.len(), 2, "who is gone is forgotten");
        many.end();
        assert!(!many.interim().send(StatusCode::EARLY_HINTS, &link("c")), "too late");
        assert!(many.lock().waiting.is_empty());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let many = Interims::default();
        assert!(!many.interim().send(StatusCode::CONTINUE, &link("a")));
        let sent = (0..9999).filter(|_| many.interim().send(StatusCode::EARLY_HINTS, &link("a")));
        let sent = sent.count();
        assert!(sent > 10 && many.lock().bytes <= MAX_BYTES);
        let [many, late] = [(); 2].map(|()| Interims::default());
        assert!(many.interim().send(StatusCode::EARLY_HINTS, &link("a")));
        for _ in 0..MAX_WAITING {
            many.join(&Interims::default().interim());
        }
        many.join(&late.interim());
        assert!(many.interim().send(StatusCode::EARLY_HINTS, &link("b")));
        assert_eq!((many.lock().waiting.len(), links(&late)), (MAX_WAITING, vec!["a".to_owned()]));
    }
}

//! Places at an origin: how many requests it is given at one time, and how many may wait for one.
//!
//! A cache collapses equal requests; what may not be stored passes uncollapsed, as often as it is
//! asked for. Here is the end of that: beyond the places requests wait, a bounded number for a
//! bounded time, and beyond those they are refused.
//!
//! There are two lines: of real requests, and of what is sent ahead of need. A place that is given back is
//! the first real one's; what is sent ahead gets it only where no real one waits. Both lines have room for
//! so many together: a real request that finds no room is given that of the last that is sent ahead, which
//! is refused. What is sent ahead and is waited for by now goes to the end of the real ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_net::Body;
use tokio::sync::oneshot;

use super::lock;
use crate::prefetch::Wanted;
use crate::pressure::Pressure;

/// How many requests one origin is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlacesConfig {
    /// Requests that one origin answers at one time, until the last byte of each; 1,024 by default.
    pub at_once: usize,
    /// Requests that may wait for a place at one origin; 1,024 by default. Beyond them the answer
    /// is 503 with `Retry-After`, unless another origin has a place. What is fetched ahead waits behind
    /// all real requests, and loses its room to one.
    pub waiting: usize,
    /// How long one may wait; 5 s by default.
    pub patience: Duration,
}

impl Default for PlacesConfig {
    fn default() -> Self {
        Self { at_once: 1024, waiting: 1024, patience: Duration::from_secs(5) }
    }
}

impl PlacesConfig {
    /// Gives each origin `at_once` requests and lets `waiting` more wait; at least one place there
    /// is.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        Self { at_once, waiting, ..Self::default() }
    }

    /// Replaces [`PlacesConfig::patience`].
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// The places at one origin.
#[derive(Debug)]
pub(super) struct Places {
    queue: Arc<Queue>,
    patience: Duration,
}

#[derive(Debug)]
struct Queue {
    at_once: usize,
    /// How many may wait.
    room: usize,
    lines: Mutex<Lines>,
    /// What those are told that fetch ahead. How many places are taken is changed while the lines are locked.
    pressure: Pressure,
}

/// Who waits, in turn; nobody does while a place is free.
#[derive(Debug, Default)]
struct Lines {
    real: VecDeque<Waiter>,
    ahead: VecDeque<Waiter>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    place: oneshot::Sender<Place>,
}

/// A place, given back when it is dropped; `None` where it is another's already.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Queue>>);

impl Places {
    pub(super) fn new(config: &PlacesConfig) -> Self {
        let at_once = config.at_once.max(1);
        let (lines, pressure) = (Mutex::default(), Pressure::of(at_once));
        let queue = Queue { at_once, room: config.waiting, lines, pressure };
        Self { queue: Arc::new(queue), patience: config.patience }
    }

    /// How loaded they are.
    pub(super) fn pressure(&self) -> &Pressure {
        &self.queue.pressure
    }

    /// A place, at once or after a wait in turn; `None` where too many wait, or too long. That a request
    /// waits is told under [`pressure`](Self::pressure); of one that is sent ahead, once somebody waits for it.
    /// Cancel safe: who goes away is in nobody's way.
    pub(super) async fn take(&self, ahead: Option<&Wanted>) -> Option<Place> {
        let mut turn = match self.queue.come(ahead.is_some()) {
            Came::Placed(place) => return Some(place),
            Came::Refused => return None,
            Came::Waits(turn) => turn,
        };
        let place = async {
            if let Some(wanted) = ahead {
                tokio::select! {
                    biased;
                    place = &mut turn.place => return place.ok(),
                    () = wanted.comes() => turn.is_wanted(),
                }
            }
            let _told = self.pressure().wait();
            // An error where its room went to a real request.
            (&mut turn.place).await.ok()
        };
        tokio::time::timeout(self.patience, place).await.ok().flatten()
    }
}

/// What becomes of who comes for a place.
enum Came {
    Placed(Place),
    Waits(Turn),
    Refused,
}

impl Queue {
    fn come(self: &Arc<Self>, is_ahead: bool) -> Came {
        let mut lines = lock(&self.lines);
        if self.pressure.taken() < self.at_once {
            self.pressure.take();
            return Came::Placed(Place(Some(Arc::clone(self))));
        }
        if lines.real.len() + lines.ahead.len() >= self.room
            && (is_ahead || lines.ahead.pop_back().is_none())
        {
            return Came::Refused;
        }
        let (id, (given, place)) = (lines.next_id, oneshot::channel());
        lines.next_id += 1;
        let line = if is_ahead { &mut lines.ahead } else { &mut lines.real };
        line.push_back(Waiter { id, place: given });
        Came::Waits(Turn { id, place, queue: Arc::clone(self) })
    }

    /// A place was given back: it is that of the next.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let mut lines = lock(&self.lines);
            let next = lines.real.pop_front();
            let Some(next) = next.or_else(|| lines.ahead.pop_front()) else {
                self.pressure.give_back();
                return;
            };
            drop(lines);
            match next.place.send(Place(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // It is gone, and has given nothing back: the place is still here.
                Err(mut unsent) => drop(unsent.0.take()),
            }
        }
    }
}

/// Who waits, and leaves its line when it is dropped.
struct Turn {
    id: u64,
    place: oneshot::Receiver<Place>,
    queue: Arc<Queue>,
}

impl Turn {
    /// Somebody waits for what was sent ahead.
    fn is_wanted(&self) {
        let mut lines = lock(&self.queue.lines);
        let found = lines.ahead.iter().position(|waiter| waiter.id == self.id);
        let waiter = found.and_then(|at| lines.ahead.remove(at));
        lines.real.extend(waiter);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = lock(&self.queue.lines);
        let Lines { real, ahead, .. } = &mut *lines;
        for line in [real, ahead] {
            if let Some(at) = line.iter().position(|waiter| waiter.id == self.id) {
                line.remove(at);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

impl Place {
    /// Keeps the place until `body` has come or was given up. A body that is there needs none.
    pub(super) fn hold(self, body: Body) -> Body {
        body.on_end(move |_| drop(self))
    }
}

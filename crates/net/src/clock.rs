//! Time as a parameter: nothing else in Headwater reads the wall clock.
//!
//! A [`Clock`] is handed to whatever needs the time; tests hand in one they drive by hand.
//!
//! A dozen layers ask for the time of a request, and most of them within a few microseconds. So it [stands
//! still](stand_still) while a listener of this crate has a service look at one: who asks first has the clock read,
//! and all others hear the same. What expires then expires for all of them at once.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of the current time: the system's, or one driven by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The operating system's wall clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it. Clones share the hand.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => stood(|still| &mut still.wall, || Timestamp::from(SystemTime::now())),
            Source::Manual(hand) => Timestamp(hand.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock on; a system clock is left as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hand) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            hand.fetch_add(by, Ordering::AcqRel);
        }
    }
}

/// What was read while time stands still.
#[derive(Clone, Copy, Debug, Default)]
struct Still {
    wall: Option<Timestamp>,
    #[cfg(any(feature = "server", feature = "client"))]
    moment: Option<tokio::time::Instant>,
}

thread_local! {
    static STILL: Cell<Option<Still>> = const { Cell::new(None) };
}

/// Does something for which time stands still on this thread: the system's [`Clock`] and [`moment`] say what they
/// first said in it. To be of microseconds, such as one poll of a service. Within another it is a part of that.
pub fn stand_still<R>(look: impl FnOnce() -> R) -> R {
    /// Time goes on, even where somebody panicked.
    struct Goes;
    impl Drop for Goes {
        fn drop(&mut self) {
            STILL.set(None);
        }
    }
    if STILL.get().is_some() {
        return look();
    }
    STILL.set(Some(Still::default()));
    let _goes = Goes;
    look()
}

/// What was read first while time stands still; read now where it does not.
fn stood<T: Copy>(of: fn(&mut Still) -> &mut Option<T>, read: impl FnOnce() -> T) -> T {
    let Some(mut still) = STILL.get() else { return read() };
    let read = *of(&mut still).get_or_insert_with(read);
    STILL.set(Some(still));
    read
}

/// The moment now, of the clock that durations are measured by; that at which somebody first asked, where time
/// [stands still](stand_still). Who measures how long something took that may be done in one poll reads the clock.
#[cfg(any(feature = "server", feature = "client"))]
pub fn moment() -> tokio::time::Instant {
    stood(|still| &mut still.moment, tokio::time::Instant::now)
}

/// An instant of wall-clock time: whole milliseconds since 1970-01-01T00:00:00Z, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The instant `secs` seconds after the Unix epoch (saturating).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the resolution of HTTP dates.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved on by `by` (saturating).
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This instant moved back by `by`, no further than the epoch.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Reads an HTTP date in any of its three forms (RFC 9110 §5.6.7); `None` if it is not one.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let text = text.trim();
        let read = |text: &str| httpdate::parse_http_date(text).ok().map(Self::from);
        read(text).or_else(|| forgiven(text).find_map(|text| read(&text)))
    }

    /// Writes the preferred form of an HTTP date (RFC 9110 §5.6.7, IMF-fixdate).
    pub fn to_http_date(self) -> String {
        // Years past 9999 have no HTTP date; the last second that has one stands for them.
        const LAST: u64 = 253_402_300_799;
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.as_secs().min(LAST)))
    }
}

/// What a date may have been meant as whose letters are in the wrong case, or whose day of the week
/// is not that of its date: no recipient needs either (RFC 9110 §5.6.7 asks for robust ones).
fn forgiven(text: &str) -> impl Iterator<Item = String> {
    const SHORT: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const LONG: [&str; 7] =
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let letters = |c: char| c.is_ascii_alphabetic();
    let end = text.find(|c| !letters(c)).unwrap_or(text.len());
    let (day, rest) = text.split_at(end);
    let days = if day.len() == 3 { SHORT } else { LONG };
    let known = text.len() < 64 && days.iter().any(|known| known.eq_ignore_ascii_case(day));
    let mut cased = String::new();
    let mut before = ' ';
    for c in rest.chars() {
        cased.push(if letters(before) { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
        before = c;
    }
    let cased = match cased.strip_suffix("Gmt") {
        Some(most) => format!("{most}GMT"),
        None => cased,
    };
    let days = days.into_iter().take(if known { 7 } else { 0 });
    days.map(move |day| format!("{day}{cased}"))
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_by_hand_and_clones_share_it() {
        let clock = Clock::manual(Timestamp::from_secs(10));
        let twin = clock.clone();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(twin.now().as_millis(), 11_500);
    }

    #[test]
    fn time_stands_still_for_one_look_and_goes_on_after_it() {
        let clock = Clock::system();
        let wait = || std::thread::sleep(Duration::from_millis(3));
        let look = || {
            let first = clock.now();
            wait();
            let within = stand_still(|| clock.now());
            wait();
            (first, within, clock.now())
        };
        let (first, within, last) = stand_still(look);
        assert_eq!((first, first), (within, last));
        assert!(clock.now() > first);
        let (first, _, last) = look();
        assert!(last > first, "it stands for nobody else");
        let hand = Clock::manual(first);
        stand_still(|| {
            hand.advance(Duration::from_secs(1));
            assert!(hand.now() > first, "what is moved by hand moves");
        });
    }

    #[test]
    fn time_goes_on_after_a_panic() {
        let panicked = std::panic::catch_unwind(|| stand_still(|| panic!("as asked for")));
        assert!(panicked.is_err() && STILL.get().is_none());
    }

    #[cfg(any(feature = "server", feature = "client"))]
    #[test]
    fn a_moment_is_one_for_one_look() {
        let (one, other) = stand_still(|| {
            let one = moment();
            std::thread::sleep(Duration::from_millis(1));
            (one, moment())
        });
        assert_eq!(one, other);
        assert!(moment() > one);
    }

    #[test]
    fn http_dates_round_trip_and_the_three_forms_agree() {
        let t = Timestamp::from_secs(784_111_777);
        assert_eq!(t.to_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(Timestamp::from_http_date(form), Some(t), "{form}");
        }
        for meant in [
            "SUN, 06 nov 1994 08:49:37 gMT",
            "sunDAY, 06-NOV-94 08:49:37 GMT",
            "Mon Nov  6 08:49:37 1994",
        ] {
            assert_eq!(Timestamp::from_http_date(meant), Some(t), "{meant}");
        }
        for wrong in [
            "0",
            "",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
        ] {
            assert_eq!(Timestamp::from_http_date(wrong), None, "{wrong}");
        }
        let _ = Timestamp::from_millis(u64::MAX).to_http_date();
    }
}

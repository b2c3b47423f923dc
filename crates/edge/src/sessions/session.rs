//! One session, and what becomes of it by what its player says and what it is answered. Pure: it is
//! told the time.
//!
//! What players say is believed as far as it can be: numbers are bounded, a session that sends
//! reports is heard by these alone about its stalls, since it says the same with its requests, too.

use std::net::IpAddr;

use headwater_net::{Protocol, Timestamp};
use headwater_proto::cmcd::{Cmcd, Event, Object, State};
use headwater_proto::session::What;

use super::tier::Tier;
use crate::whom::Country;

/// The longest stall or start that is believed, in milliseconds.
const LONGEST: u64 = 600_000;
/// Requests that tell of an empty buffer within so many milliseconds tell of the same: those for
/// sound and for pictures do.
const SAME_STALL: u64 = 2_000;
/// Bodies shorter than this say nothing of the rate they are taken at: the socket's buffer takes them.
const MEASURED: u64 = 128 << 10;
/// The longest title that is kept, in bytes.
const MAX_TITLE: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Box<str>,
    pub(crate) title: Box<str>,
    pub(crate) host: Box<str>,
    pub(crate) content: Option<Box<str>>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) country: Option<Country>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) began: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) requests: u64,
    /// Answers that were errors.
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
    pub(crate) tiers: [u64; Tier::ALL.len()],
    pub(crate) tier: Option<Tier>,
    /// What it takes from here, in kbit/s, as its last bodies went.
    pub(crate) delivered: Option<u64>,
    /// What its player measures, in kbit/s.
    pub(crate) measured: Option<u64>,
    /// Of pictures, in kbit/s.
    pub(crate) bitrate: Option<u64>,
    pub(crate) buffer: Option<u64>,
    pub(crate) latency: Option<u64>,
    pub(crate) live: Option<bool>,
    pub(crate) state: Option<State>,
    pub(crate) startup: Option<u64>,
    pub(crate) rebuffers: u64,
    pub(crate) stalled: u64,
    pub(crate) errors: u64,
    pub(crate) over: bool,
    /// It sends reports.
    reports: bool,
    /// When its state began, by its own clock.
    since: Option<u64>,
    /// When it was first heard that it starts.
    starting_at: Option<Timestamp>,
    starved_at: Option<Timestamp>,
}

/// Who a session is.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) host: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) country: Option<Country>,
    pub(crate) protocol: Option<Protocol>,
}

impl Session {
    pub(crate) fn new(who: Who, now: Timestamp) -> Self {
        Self {
            id: who.id.into(),
            title: cut(&who.title).into(),
            host: cut(&who.host).into(),
            content: None,
            address: who.address,
            country: who.country,
            protocol: who.protocol,
            began: now,
            last: now,
            requests: 0,
            failed: 0,
            bytes: 0,
            tiers: [0; Tier::ALL.len()],
            tier: None,
            delivered: None,
            measured: None,
            bitrate: None,
            buffer: None,
            latency: None,
            live: None,
            state: None,
            startup: None,
            rebuffers: 0,
            stalled: 0,
            errors: 0,
            over: false,
            reports: false,
            since: None,
            starting_at: None,
            starved_at: None,
        }
    }

    /// A request of it was answered.
    pub(crate) fn answered(&mut self, tier: Tier, failed: bool, bytes: u64, now: Timestamp) {
        self.last = now;
        self.requests += 1;
        self.failed += u64::from(failed);
        self.bytes = self.bytes.saturating_add(bytes);
        self.tier = Some(tier);
        if let Some(count) = self.tiers.get_mut(tier as usize) {
            *count += 1;
        }
    }

    /// A body of it went out, in so many microseconds.
    pub(crate) fn sent(&mut self, bytes: u64, micros: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if bytes >= MEASURED {
            let kbps = bytes.saturating_mul(8_000) / micros.max(1);
            let before = self.delivered.unwrap_or(kbps);
            self.delivered = Some((3 * u128::from(before) + u128::from(kbps)).div_euclid(4) as u64);
        }
    }

    /// Its player told something, with a request or, if `report`, by itself.
    pub(crate) fn told(
        &mut self,
        cmcd: &Cmcd,
        report: bool,
        now: Timestamp,
        mut happened: impl FnMut(What),
    ) {
        self.last = now;
        self.reports |= report;
        let keep = |to: &mut Option<u64>, from: Option<u64>| *to = from.or(*to);
        keep(&mut self.measured, cmcd.throughput);
        keep(&mut self.buffer, cmcd.buffer);
        keep(&mut self.latency, cmcd.latency);
        self.live = cmcd.live.or(self.live);
        if let Some(content) = &cmcd.content
            && self.content.as_deref() != Some(content)
        {
            self.content = Some(content.as_str().into());
        }
        let pictures = matches!(cmcd.object, Some(Object::Video | Object::Muxed));
        let changed = cmcd.event == Some(Event::Bitrate);
        if let Some(kbps) = cmcd.bitrate.filter(|_| pictures || changed)
            && self.bitrate != Some(kbps)
        {
            self.bitrate = Some(kbps);
            happened(What::Bitrate { kbps });
        }
        if let Some(millis) = cmcd.startup_delay {
            self.started(millis, &mut happened);
        }
        if report || !self.reports {
            self.starved(cmcd, now, &mut happened);
        }
        if let Some(state) = cmcd.state.filter(|_| report || !self.reports) {
            self.turned(state, cmcd, report, now, &mut happened);
        }
        self.met_errors(cmcd, report, &mut happened);
    }

    fn started(&mut self, millis: u64, happened: &mut impl FnMut(What)) {
        if self.startup.is_none() && millis <= LONGEST {
            self.startup = Some(millis);
            happened(What::Startup { millis });
        }
    }

    /// What it says of an empty buffer.
    fn starved(&mut self, cmcd: &Cmcd, now: Timestamp, happened: &mut impl FnMut(What)) {
        let again = |at: Timestamp| now.since(at).as_millis() >= u128::from(SAME_STALL);
        if cmcd.starved
            && cmcd.state.is_none()
            && !self.reports
            && self.starved_at.is_none_or(again)
        {
            self.starved_at = Some(now);
            self.rebuffers += 1;
            happened(What::Rebuffer);
        }
        if let Some(millis) = cmcd.starved_for.filter(|millis| (1..=LONGEST).contains(millis)) {
            self.stalled += millis;
            happened(What::Stalled { millis });
        }
    }

    /// It is in a state, by its own clock since `ts`. Requests do not tell when: that it starts is heard by
    /// one of them where its report came before this edge knew the session.
    fn turned(
        &mut self,
        state: State,
        cmcd: &Cmcd,
        report: bool,
        now: Timestamp,
        happened: &mut impl FnMut(What),
    ) {
        let before = self.state.replace(state);
        if before == Some(state) {
            return;
        }
        if state == State::Starting {
            self.starting_at = Some(now);
        }
        let since = std::mem::replace(&mut self.since, cmcd.at);
        let lasted = since.zip(cmcd.at).and_then(|(from, to)| to.checked_sub(from));
        let lasted = lasted.filter(|millis| *millis <= LONGEST);
        match (before, state) {
            (Some(State::Starting), State::Playing) => {
                // By a report alone: requests tell of it with the next segment.
                let ours = self.starting_at.filter(|_| report && since.is_none());
                let ours = ours.and_then(|at| u64::try_from(now.since(at).as_millis()).ok());
                if let Some(millis) = lasted.or(ours) {
                    self.started(millis, happened);
                }
            }
            // Where it says itself for how long, that was counted.
            (Some(State::Rebuffering), _) if cmcd.starved_for.is_none() => {
                if let Some(millis) = lasted {
                    self.stalled += millis;
                    happened(What::Stalled { millis });
                }
            }
            _ => {}
        }
        if state == State::Rebuffering {
            self.rebuffers += 1;
            happened(What::Rebuffer);
        }
        self.over = state.is_last();
    }

    fn met_errors(&mut self, cmcd: &Cmcd, report: bool, happened: &mut impl FnMut(What)) {
        // With requests a player repeats what it reported.
        if self.reports && !report {
            return;
        }
        for code in &cmcd.errors {
            self.errors += 1;
            happened(What::Error { code: code.clone() });
        }
        if cmcd.errors.is_empty() && cmcd.event == Some(Event::Error) {
            self.errors += 1;
            happened(What::Error { code: String::new() });
        }
    }

    /// What is told of it at its end.
    pub(crate) fn end(&self) -> What {
        What::Ended {
            millis: u64::try_from(self.last.since(self.began).as_millis()).unwrap_or(u64::MAX),
            requests: self.requests,
            bytes: self.bytes,
            rebuffers: self.rebuffers,
            stalled: self.stalled,
            errors: self.errors,
        }
    }
}

/// A text, no longer than is kept.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TITLE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn session() -> Session {
        let who = Who {
            id: "s".to_owned(),
            title: "/t".to_owned(),
            host: "h".to_owned(),
            address: None,
            country: None,
            protocol: None,
        };
        Session::new(who, Timestamp::from_millis(0))
    }

    /// Plays what a player says, each with when the edge hears it and whether it is a report.
    fn play(said: &[(u64, bool, &str)]) -> (Session, Vec<What>) {
        let (mut session, mut all) = (session(), Vec::new());
        for (at, report, text) in said {
            let told = Cmcd::read(text).unwrap();
            session.told(&told, *report, Timestamp::from_millis(*at), |what| all.push(what));
        }
        (session, all)
    }

    #[test]
    fn reports_tell_of_start_stalls_and_errors() {
        let (session, all) = play(&[
            (10, true, "v=2,e=ps,sta=s,ts=1000"),
            (20, true, "v=2,e=ps,sta=p,ts=1800"),
            (21, false, "v=2,br=(3000),ot=v,bs"),
            (30, true, "v=2,e=ps,sta=r,ts=9000"),
            (31, true, "v=2,e=t,sta=r,ts=9500"),
            (40, true, "v=2,e=ps,sta=p,ts=9700"),
            (41, false, "v=2,br=(3000),ot=v,bs,bsd=(700),ec=(\"twice\")"),
            (50, true, "v=2,e=e,ec=(\"E1\"),ts=9900"),
            (60, true, "v=2,e=ps,sta=q,ts=9950"),
        ]);
        let expected = [
            What::Startup { millis: 800 },
            What::Bitrate { kbps: 3000 },
            What::Rebuffer,
            What::Stalled { millis: 700 },
            What::Error { code: "E1".to_owned() },
        ];
        assert_eq!(all, expected);
        assert!(session.over);
        assert_eq!((session.rebuffers, session.stalled, session.errors), (1, 700, 1));
    }

    /// As hls.js 1.7 does it: its report that it starts comes before it asks for anything here.
    #[test]
    fn a_start_is_timed_from_the_first_request_where_its_report_was_not_heard() {
        let start = |said: &[(u64, bool, &str)]| play(said).0.startup;
        let asks = (100, false, "v=2,sta=s,ot=m,su");
        let plays = (950, true, "v=2,e=ps,sta=p,ts=70850");
        assert_eq!(start(&[asks, (600, false, "v=2,sta=s,ot=v,br=(800)"), plays]), Some(850));
        assert_eq!(start(&[asks, (500, true, "v=2,e=t,sta=s,ts=70400"), plays]), Some(850));
        // Where both reports were heard, its own clock counts.
        assert_eq!(start(&[(100, true, "v=2,e=ps,sta=s,ts=70100"), plays]), Some(750));
        // That it plays, a request says late.
        assert_eq!(start(&[asks, (4_000, false, "v=2,sta=p,ot=v,br=(800)")]), None);
        assert_eq!(start(&[(100, false, "v=2,sta=d,ot=m"), plays]), None);
        assert_eq!(start(&[asks, (700_000, true, "v=2,e=ps,sta=p,ts=5")]), None);
    }

    #[test]
    fn requests_tell_of_stalls_where_there_are_no_reports() {
        let (session, all) = play(&[
            (0, false, "br=1000,ot=a"),
            (0, false, "br=2000,ot=v,su"),
            (5_000, false, "br=2000,ot=v,bs"),
            (5_100, false, "br=128,ot=a,bs"),
            (9_000, false, "br=1000,ot=v,bs"),
        ]);
        let bitrate = |kbps| What::Bitrate { kbps };
        assert_eq!(all, [bitrate(2000), What::Rebuffer, bitrate(1000), What::Rebuffer]);
        assert_eq!(session.rebuffers, 2);
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let (session, all) = play(&[
            (0, true, "v=2,e=t,msd=999999999,bsd=(999999999999999),ts=5"),
            (0, true, "v=2,e=ps,sta=s,ts=900"),
            (0, true, "v=2,e=ps,sta=p,ts=100"),
        ]);
        assert_eq!((all, session.startup, session.stalled), (vec![], None, 0));
    }

    #[test]
    fn rates_are_those_of_bodies_that_do_not_fit_into_a_buffer() {
        let mut session = session();
        session.sent(1_000, 1);
        assert_eq!((session.delivered, session.bytes), (None, 1_000));
        session.sent(1_000_000, 1_000_000);
        assert_eq!(session.delivered, Some(8_000));
        session.sent(1_000_000, 500_000);
        assert_eq!(session.delivered, Some(10_000));
        session.sent(u64::MAX, 0);
    }

    #[test]
    fn a_title_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(cut(&format!("a{}", "é".repeat(200))).len(), 255);
    }
}

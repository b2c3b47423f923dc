//! The cache against a naive model of RFC 9111 (and RFC 5861, and purges): random requests, answers,
//! passing time, purges, unsafe methods and restarts, one after the other, on a clock driven by hand.
//!
//! The model keeps lists and goes through them; it knows nothing of how the cache does it. After each
//! step both must agree on status, body, `Age`, whether it was a hit, and how often upstream was
//! asked. Upstream answers 304 to those who name its entity tag.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Origin, START, Stand, cache_status, field, request, stand_with, text};
use headwater_cache::{Disk, Purge, PurgeLog};
use headwater_net::Body;
use http::Response;
use proptest::prelude::*;

const PATHS: [&str; 3] = ["/a/1", "/a/2", "/b"];
const TAGS: [&str; 2] = ["t0", "t1"];

/// What upstream answers for one path.
#[derive(Clone, Debug, PartialEq)]
struct Spec {
    kind: Kind,
    max_age: Option<u64>,
    s_maxage: Option<u64>,
    swr: Option<u64>,
    sie: Option<u64>,
    no_cache: bool,
    must_revalidate: bool,
    has_etag: bool,
    varies: bool,
    /// The age that it comes with.
    age: u64,
    tag: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Good,
    NotFound,
    NoStore,
    Failing,
}

impl Spec {
    fn status(&self) -> u16 {
        match self.kind {
            Kind::Good | Kind::NoStore => 200,
            Kind::NotFound => 404,
            Kind::Failing => 503,
        }
    }

    fn forbids_to_store(&self) -> bool {
        matches!(self.kind, Kind::NoStore | Kind::Failing)
    }

    fn etag(&self, version: usize) -> Option<String> {
        (self.has_etag && !self.forbids_to_store()).then(|| format!("\"{version}\""))
    }

    fn control(&self) -> String {
        let mut all = Vec::new();
        let mut put = |name: &str, value: Option<u64>| {
            all.extend(value.map(|value| format!("{name}={value}")));
        };
        put("max-age", self.max_age);
        put("s-maxage", self.s_maxage);
        put("stale-while-revalidate", self.swr);
        put("stale-if-error", self.sie);
        for (said, name) in [
            (self.no_cache, "no-cache"),
            (self.must_revalidate, "must-revalidate"),
            (self.forbids_to_store(), "no-store"),
        ] {
            all.extend(said.then(|| name.to_owned()));
        }
        all.join(", ")
    }
}

/// One path's answer, and how often it changed.
type Site = Vec<(usize, Spec)>;

fn origin(site: &Arc<Mutex<Site>>) -> Origin {
    let site = Arc::clone(site);
    Origin::new(move |parts| {
        let at = PATHS.iter().position(|path| *path == parts.uri.path()).unwrap();
        let (version, spec) = site.lock().unwrap()[at].clone();
        let mut response = Response::builder()
            .header("cache-control", spec.control())
            .header("surrogate-key", TAGS[spec.tag]);
        if spec.age > 0 {
            response = response.header("age", spec.age);
        }
        if spec.varies {
            response = response.header("vary", "accept");
        }
        let etag = spec.etag(version);
        if let Some(etag) = &etag {
            response = response.header("etag", etag);
        }
        let known = parts.headers.get("if-none-match").map(|known| known.to_str().unwrap());
        if known.is_some() && known == etag.as_deref() {
            return response.status(304).body(Body::empty()).unwrap();
        }
        response.status(spec.status()).body(Body::from(format!("{at} v{version}"))).unwrap()
    })
}

/// What a request says of what it takes (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Anything,
    NoCache,
    MaxAge(u64),
    MinFresh(u64),
    MaxStale(u64),
    OnlyIfCached,
}

impl Wish {
    fn control(self) -> Option<String> {
        Some(match self {
            Self::Anything => return None,
            Self::NoCache => "no-cache".to_owned(),
            Self::MaxAge(seconds) => format!("max-age={seconds}"),
            Self::MinFresh(seconds) => format!("min-fresh={seconds}"),
            Self::MaxStale(seconds) => format!("max-stale={seconds}"),
            Self::OnlyIfCached => "only-if-cached".to_owned(),
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Url(usize),
    Tag(usize),
    /// `/a/`
    Prefix,
    All,
}

impl Scope {
    fn purge(self) -> Purge {
        match self {
            Self::Url(at) => Purge::url(format!("http://example.com{}", PATHS[at])),
            Self::Tag(tag) => Purge::tag(TAGS[tag]),
            Self::Prefix => Purge::prefix("http://example.com/a/"),
            Self::All => Purge::all(),
        }
    }

    fn is_about(self, at: usize, tag: usize) -> bool {
        match self {
            Self::Url(one) => one == at,
            Self::Tag(one) => one == tag,
            Self::Prefix => PATHS[at].starts_with("/a/"),
            Self::All => true,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Upstream's answer for a path becomes another one.
    Change(usize, Spec),
    /// A GET of a path with an `Accept` out of three.
    Get(usize, usize, Wish),
    Post(usize),
    Wait(u64),
    Purge(Scope, bool),
    Restart,
}

/// A stored response of the model.
#[derive(Clone, Debug)]
struct Stored {
    version: usize,
    spec: Spec,
    status: u16,
    /// The `Accept` it is for, if it varies.
    accept: Option<usize>,
    received: u64,
    /// How many purges there were when it was asked for.
    purges: usize,
    /// Upstream is not asked again before that where it may answer stale.
    paused: u64,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Fresh,
    Stale,
    StaleWhileRevalidate,
    Revalidate { because_stale: bool },
}

impl Stored {
    fn age(&self, now: u64) -> u64 {
        self.spec.age + now - self.received
    }

    fn may_be_stale(&self) -> bool {
        let extended = self.spec.swr.is_some() || self.spec.sie.is_some();
        !self.spec.must_revalidate && (self.spec.s_maxage.is_none() || extended)
    }

    /// RFC 9111 §4.2 and §5.2, RFC 5861 §3; `soft` is when a soft purge came.
    fn judge(&self, wish: Wish, now: u64, soft: Option<u64>) -> Verdict {
        let stale = Verdict::Revalidate { because_stale: true };
        let wanted = Verdict::Revalidate { because_stale: false };
        if self.spec.no_cache {
            return stale;
        }
        let (age, lifetime) = (self.age(now), self.lifetime(soft));
        match wish {
            Wish::NoCache => return wanted,
            Wish::MaxAge(most) if age > most => return wanted,
            _ => {}
        }
        if age < lifetime {
            return match wish {
                Wish::MinFresh(least) if lifetime - age < least => wanted,
                _ => Verdict::Fresh,
            };
        }
        let over = age - lifetime;
        if self.may_be_stale() {
            match wish {
                Wish::MaxStale(most) if over <= most => return Verdict::Stale,
                Wish::MaxAge(_) | Wish::MinFresh(_) => {}
                _ if over < self.spec.swr.unwrap_or(0) => return Verdict::StaleWhileRevalidate,
                _ => {}
            }
        }
        stale
    }

    fn lifetime(&self, soft: Option<u64>) -> u64 {
        let lifetime = self.spec.s_maxage.or(self.spec.max_age).unwrap_or(0);
        soft.map_or(lifetime, |at| lifetime.min(self.age(at.max(self.received))))
    }

    /// RFC 5861 §4.
    fn may_answer_on_error(&self, now: u64, soft: Option<u64>) -> bool {
        let over = self.age(now).saturating_sub(self.lifetime(soft));
        !self.spec.no_cache && self.may_be_stale() && self.spec.sie.is_some_and(|most| over <= most)
    }

    /// Whether it could ever be used: fresh, extended, or confirmed.
    fn is_useful(&self) -> bool {
        let verdict = self.judge(Wish::Anything, self.received, None);
        self.spec.has_etag
            || matches!(verdict, Verdict::Fresh | Verdict::StaleWhileRevalidate)
            || self.may_answer_on_error(self.received, None)
    }
}

/// What both must agree on.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    body: String,
    age: Option<u64>,
    hit: bool,
}

struct Model {
    site: Arc<Mutex<Site>>,
    stored: Vec<Vec<Stored>>,
    purges: Vec<(Scope, bool, u64)>,
    now: u64,
    asked: usize,
}

impl Model {
    /// The stored response that a request selects and no purge took, and when one made it stale.
    fn find(&self, at: usize, accept: usize) -> Option<(usize, Option<u64>)> {
        let nth =
            self.stored[at].iter().position(|one| one.accept.is_none_or(|own| own == accept))?;
        let one = &self.stored[at][nth];
        let since = &self.purges[one.purges..];
        let mut about = since.iter().filter(|(scope, ..)| scope.is_about(at, one.spec.tag));
        if about.clone().any(|(_, soft, _)| !soft) {
            return None;
        }
        Some((nth, about.next_back().map(|(_, _, when)| *when)))
    }

    fn get(&mut self, at: usize, accept: usize, wish: Wish) -> Seen {
        let found = self.find(at, accept);
        if let Some((nth, soft)) = found {
            let one = self.stored[at][nth].clone();
            let mut verdict = one.judge(wish, self.now, soft);
            if self.now < one.paused {
                verdict = match verdict {
                    Verdict::StaleWhileRevalidate => Verdict::Stale,
                    Verdict::Revalidate { because_stale: true }
                        if one.may_answer_on_error(self.now, soft) =>
                    {
                        Verdict::Stale
                    }
                    other => other,
                };
            }
            if !matches!(verdict, Verdict::Revalidate { .. }) {
                if verdict == Verdict::StaleWhileRevalidate {
                    self.fill(at, accept, found);
                }
                return self.answer(at, &one, true);
            }
        }
        if wish == Wish::OnlyIfCached {
            return Seen { status: 504, body: String::new(), age: None, hit: false };
        }
        self.fill(at, accept, found)
    }

    fn answer(&self, at: usize, one: &Stored, hit: bool) -> Seen {
        let body = format!("{at} v{}", one.version);
        Seen { status: one.status, body, age: Some(one.age(self.now)), hit }
    }

    /// Upstream is asked, to confirm what was found if there is something.
    fn fill(&mut self, at: usize, accept: usize, found: Option<(usize, Option<u64>)>) -> Seen {
        self.asked += 1;
        let (version, spec) = self.site.lock().unwrap()[at].clone();
        let known = found.map(|(nth, _)| self.stored[at][nth].clone());
        let new = Stored {
            version,
            status: spec.status(),
            accept: spec.varies.then_some(accept),
            received: self.now,
            purges: self.purges.len(),
            paused: 0,
            spec,
        };
        let confirms = known.as_ref().is_some_and(|known| {
            let etag = known.spec.etag(known.version);
            etag.is_some() && etag == new.spec.etag(version)
        });
        if new.spec.kind == Kind::Failing
            && let Some((nth, soft)) = found
        {
            self.stored[at][nth].paused = self.now + 5;
            let one = self.stored[at][nth].clone();
            if one.may_answer_on_error(self.now, soft) {
                return self.answer(at, &one, false);
            }
        }
        let age = (new.spec.age > 0).then_some(new.spec.age);
        let seen = Seen { status: new.status, body: format!("{at} v{version}"), age, hit: false };
        if new.spec.forbids_to_store() || !new.is_useful() {
            if let Some((nth, _)) = found {
                self.stored[at][nth].paused = self.now + 5;
            }
            return seen;
        }
        // A 304 updates the fields and keeps status and body (RFC 9111 §4.3.4); a stored response
        // takes the place of those that its request selects, and one that does not vary of all.
        let new = match known {
            Some(known) if confirms => Stored { status: known.status, ..new },
            _ => new,
        };
        let varies = new.accept.is_some();
        self.stored[at].retain(|one| varies && one.accept.is_some_and(|own| own != accept));
        self.stored[at].insert(0, new.clone());
        if confirms { self.answer(at, &new, false) } else { seen }
    }
}

/// Where a case keeps what outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    Nothing,
    Purges,
    All,
}

fn open(origin: &Origin, kept: Kept, folder: &Path, since: u64) -> Stand {
    // Whose answer nobody may share is remembered so that others do not wait in vain: here nobody
    // ever waits.
    let stand = stand_with(origin, |builder| {
        let builder = builder.uncollapsed(Duration::ZERO);
        match kept {
            Kept::Nothing => builder,
            Kept::Purges => builder.purge_log(PurgeLog::open(folder.join("purges")).unwrap()),
            Kept::All => builder.disk(Disk::open(folder, 1 << 20).unwrap()),
        }
    });
    stand.advance(since);
    stand
}

async fn run(steps: Vec<Step>, first: Spec, on_disk: bool) {
    let site: Arc<Mutex<Site>> = Arc::new(Mutex::new(vec![(0, first); PATHS.len()]));
    let origin = origin(&site);
    // A disk is waited for where that tells something.
    let restarts = steps.iter().any(|step| matches!(step, Step::Restart));
    let kept = match (restarts, on_disk) {
        (false, _) => Kept::Nothing,
        (true, false) => Kept::Purges,
        (true, true) => Kept::All,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut stand = open(&origin, kept, folder.path(), 0);
    let mut model = Model {
        site: Arc::clone(&site),
        stored: vec![Vec::new(); PATHS.len()],
        purges: Vec::new(),
        now: START.as_secs(),
        asked: 0,
    };
    for (nth, step) in steps.into_iter().enumerate() {
        match step.clone() {
            Step::Change(at, spec) => {
                let mut site = site.lock().unwrap();
                site[at] = (site[at].0 + 1, spec);
            }
            Step::Wait(seconds) => {
                stand.advance(seconds);
                model.now += seconds;
            }
            Step::Get(at, accept, wish) => {
                let control = wish.control();
                let mut fields = Vec::new();
                fields.extend(["x", "y"].get(accept).map(|accept| ("accept", *accept)));
                fields.extend(control.as_deref().map(|control| ("cache-control", control)));
                let response = stand.get_with(PATHS[at], &fields).await;
                let mut seen = Seen {
                    status: response.status().as_u16(),
                    age: field(&response, "age").parse().ok(),
                    hit: cache_status(&response).contains("edge; hit"),
                    body: text(response).await,
                };
                if seen.status == 504 {
                    seen.body.clear();
                }
                assert_eq!(seen, model.get(at, accept, wish), "step {nth}: {step:?}");
            }
            Step::Post(at) => {
                let response = stand.send(request("POST", PATHS[at], &[])).await;
                let ok = response.status().is_success();
                text(response).await;
                model.asked += 1;
                if ok {
                    model.stored[at].clear();
                }
            }
            Step::Purge(scope, soft) => {
                let purge = if soft { scope.purge().soft() } else { scope.purge() };
                stand.cache.purge(purge).await.unwrap();
                model.purges.push((scope, soft, model.now));
            }
            Step::Restart => {
                let seq = stand.cache.purge_seq();
                stand.cache.close().await;
                drop(stand);
                stand = open(&origin, kept, folder.path(), model.now - START.as_secs());
                assert_eq!(stand.cache.purge_seq(), seq, "step {nth}: purges outlive a restart");
                // With a disk tier, so does what is stored, but not that upstream has a rest.
                if kept == Kept::All {
                    model.stored.iter_mut().flatten().for_each(|one| one.paused = 0);
                } else {
                    model.stored.iter_mut().for_each(Vec::clear);
                }
            }
        }
        // What goes on behind an answer has come to its end before the next step: upstream is always
        // ready, so a few turns do.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(origin.asked(), model.asked, "step {nth}: {step:?}");
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        6 => Just(Kind::Good), 1 => Just(Kind::NotFound), 1 => Just(Kind::NoStore),
        2 => Just(Kind::Failing),
    ];
    let time = |weight: u32| prop_oneof![4 => Just(None), weight => (0u64..10).prop_map(Some)];
    let age = prop_oneof![4 => Just(0u64), 1 => 1u64..8];
    (
        (kind, time(12), time(1), time(2), time(2)),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.1), any::<bool>()),
        (prop::bool::weighted(0.3), age, 0..TAGS.len()),
    )
        .prop_map(|(times, says, (varies, age, tag))| {
            let (kind, max_age, s_maxage, swr, sie) = times;
            let (no_cache, must_revalidate, has_etag) = says;
            Spec {
                kind,
                max_age,
                s_maxage,
                swr,
                sie,
                no_cache,
                must_revalidate,
                has_etag,
                varies,
                age,
                tag,
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = || 0u64..10;
    // Most of it at one place, so that it meets.
    let path = || prop_oneof![4 => Just(0), 1 => 1..PATHS.len()];
    let wish = prop_oneof![
        8 => Just(Wish::Anything),
        1 => Just(Wish::NoCache),
        1 => seconds().prop_map(Wish::MaxAge),
        1 => seconds().prop_map(Wish::MinFresh),
        1 => seconds().prop_map(Wish::MaxStale),
        1 => Just(Wish::OnlyIfCached),
    ];
    let scope = prop_oneof![
        (0..PATHS.len()).prop_map(Scope::Url),
        (0..TAGS.len()).prop_map(Scope::Tag),
        Just(Scope::Prefix),
        Just(Scope::All),
    ];
    prop_oneof![
        12 => (path(), 0..3usize, wish).prop_map(|(at, accept, wish)| Step::Get(at, accept, wish)),
        3 => (0u64..8).prop_map(Step::Wait),
        3 => (path(), spec()).prop_map(|(at, spec)| Step::Change(at, spec)),
        2 => (scope, any::<bool>()).prop_map(|(scope, soft)| Step::Purge(scope, soft)),
        1 => path().prop_map(Step::Post),
        1 => Just(Step::Restart),
    ]
}

/// Enough for a few seconds, or as many cases as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let all = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { all.cases } else { 120 };
    ProptestConfig { cases, ..all }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn rfc_9111_the_cache_does_what_a_naive_model_does(
        first in spec(), steps in proptest::collection::vec(step(), 1..40),
        on_disk in prop::bool::weighted(0.3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, first, on_disk));
    }
}

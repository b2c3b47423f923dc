//! Plays about several members behind one balance: who is asked, and what moves when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_net::balance::{Balance, BalanceConfig, BalanceError};
use headwater_net::rendezvous::Like;
use headwater_net::{Body, BodyError, Clock, Timestamp};
use http::{Method, Request, Response};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

type Answered = Result<Response<Body>, std::io::Error>;
type Member = BoxCloneSyncService<Request<Body>, Response<Body>, std::io::Error>;

/// What members were asked, in order.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Asked {
    fn member(
        &self,
        name: &'static str,
        answer: impl Fn() -> Answered + Clone + Send + Sync + 'static,
    ) -> Member {
        let all = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
            all.0.lock().unwrap().push((name, request.uri().path().to_owned()));
            std::future::ready(answer())
        }))
    }

    fn take(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where one may fail")]
fn well() -> Answered {
    Ok(Response::new(Body::from("an answer")))
}

fn refused() -> Answered {
    Err(std::io::ErrorKind::ConnectionRefused.into())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn three(asked: &Asked, config: BalanceConfig) -> Balance<Member> {
    ["a", "b", "c"]
        .into_iter()
        .fold(Balance::builder(), |all, name| all.member(name, 1, asked.member(name, well)))
        .config(config)
        .build()
}

async fn ask(balance: &Balance<Member>, path: &str) -> Response<Body> {
    balance.clone().oneshot(get(path)).await.unwrap()
}

#[tokio::test]
async fn what_belongs_together_is_asked_of_one_member() {
    let asked = Asked::default();
    let balance = three(&asked, BalanceConfig::default());
    let mut used = Vec::new();
    for title in 0..30 {
        for file in ["main.m3u8", "v1.m3u8", "0123/v1/1.m4s"] {
            ask(&balance, &format!("/title-{title}/{file}")).await;
        }
        let of_title = asked.take();
        assert!(of_title.iter().all(|(name, _)| *name == of_title[0].0), "{of_title:?}");
        used.push(of_title[0].0);
    }
    for name in ["a", "b", "c"] {
        let count = used.iter().filter(|used| **used == name).count();
        assert!((4..=16).contains(&count), "{name} has {count} of 30");
    }
}

#[tokio::test]
async fn members_come_and_go_and_only_their_share_moves() {
    let asked = Asked::default();
    let balance = three(&asked, BalanceConfig::default());
    let home = async || {
        for title in 0..60 {
            ask(&balance, &format!("/title-{title}/main.m3u8")).await;
        }
        asked.take()
    };
    let before = home().await;
    let all = ["a", "b", "c"].map(|name| (name.to_owned(), 1, asked.member(name, well)));
    balance.replace(all.clone().into_iter().filter(|(name, ..)| name != "b"));
    for (before, after) in before.iter().zip(home().await) {
        assert!(before.0 == "b" || *before == after, "{before:?} {after:?}");
        assert_ne!(after.0, "b");
    }
    balance.replace(all);
    assert_eq!(home().await, before);
}

/// What tells of a presentation goes where that is asked for, whatever its own path.
#[tokio::test]
async fn a_request_like_another_is_asked_of_the_same_member() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let asked = Asked::default();
    let down = |name| asked.member(name, refused);
    let balance = three(&asked, BalanceConfig::default());
    for title in 0..30 {
        let uri: http::Uri = format!("/title-{title}/1.m4s").parse().unwrap();
        let home = balance.home(&uri).unwrap();
        ask(&balance, uri.path()).await;
        let mut note = get("/notes");
        note.extensions_mut().insert(Like(uri));
        balance.clone().oneshot(note).await.unwrap();
        let names: Vec<_> = asked.take().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [home.as_str(), home.as_str()]);
    }

    let members = [("a", 1, down("a")), ("b", 0, asked.member("b", well))];
    let members = members.map(|(name, weight, member)| (name.to_owned(), weight, member));
    let balance = members
        .into_iter()
        .fold(Balance::builder(), |all, (name, weight, member)| all.member(name, weight, member))
        .clock(clock)
        .build();
    let uri = http::Uri::from_static("/film/1.m4s");
    assert_eq!(balance.home(&uri).as_deref(), Some("a"));
    for _ in 0..3 {
        ask(&balance, uri.path()).await;
    }
    assert_eq!(balance.home(&uri).as_deref(), Some("b"), "the first is down");
    assert_eq!(Balance::<Member>::builder().build().home(&uri), None);
}

#[tokio::test]
async fn a_full_member_is_passed_over_until_its_answers_have_come() {
    let asked = Asked::default();
    let balance = three(&asked, BalanceConfig::default().slack(2));
    let held = |_: &str| {
        Ok(Response::new(Body::stream(http_body_util::Full::new(bytes::Bytes::from("later")))))
    };
    balance.replace(
        ["a", "b", "c"].map(|name| (name.to_owned(), 1, asked.member(name, move || held(name)))),
    );
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(ask(&balance, "/film/1.m4s").await);
    }
    let loads: Vec<u64> = balance.members().iter().map(|member| member.under_way).collect();
    assert_eq!(loads.iter().sum::<u64>(), 12);
    // 12 × 1.25 / 3
    assert!(loads.iter().all(|load| *load <= 5), "{loads:?}");
    let home = asked.take()[0].0;
    for answer in answers {
        assert_eq!(answer.into_body().collect(100).await.unwrap().to_bytes(), "later");
    }
    assert!(balance.members().iter().all(|member| member.under_way == 0));
    ask(&balance, "/film/2.m4s").await;
    assert_eq!(asked.take(), [(home, "/film/2.m4s".to_owned())]);
}

#[tokio::test]
async fn a_hot_title_has_two_members_and_a_cold_one_has_one() {
    let asked = Asked::default();
    let balance = three(&asked, BalanceConfig::default().replicas(2, 20));
    let members = |asked: &Asked| {
        let mut all: Vec<_> = asked.take().into_iter().map(|(name, _)| name).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let held =
        || Ok(Response::new(Body::stream(http_body_util::Full::new(bytes::Bytes::from("x")))));
    balance.replace(["a", "b", "c"].map(|name| (name.to_owned(), 1, asked.member(name, held))));
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(ask(&balance, "/cold/1.m4s").await);
    }
    assert_eq!(members(&asked), 1);
    answers.clear();
    for _ in 0..40 {
        answers.push(ask(&balance, "/hot/1.m4s").await);
    }
    assert_eq!(members(&asked), 2);
}

#[tokio::test]
async fn who_gives_no_answer_is_left_alone_and_another_is_asked() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let asked = Asked::default();
    let balance = Balance::builder()
        .member("a", 1, asked.member("a", refused))
        .member("b", 0, asked.member("b", well))
        .clock(clock.clone())
        .build();
    for _ in 0..5 {
        assert_eq!(ask(&balance, "/film/main.m3u8").await.status(), 200);
    }
    let names: Vec<_> = asked.take().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "a", "b", "a", "b", "b", "b"], "down after three failures");
    assert!(balance.members()[0].is_down);
    clock.advance(Duration::from_secs(2));
    balance.replace([
        ("a".to_owned(), 1, asked.member("a", well)),
        ("b".to_owned(), 0, asked.member("b", well)),
    ]);
    ask(&balance, "/film/main.m3u8").await;
    assert_eq!(asked.take()[0].0, "a", "the trial");
    assert!(!balance.members()[0].is_down);
}

#[tokio::test]
async fn what_has_effects_is_asked_once_and_an_answer_is_an_answer() {
    let asked = Asked::default();
    let unwell = || Ok(Response::builder().status(503).body(Body::empty()).unwrap());
    let balance = Balance::builder()
        .member("a", 1, asked.member("a", refused))
        .member("b", 0, asked.member("b", well))
        .build();
    let mut post = get("/film/x");
    *post.method_mut() = Method::POST;
    let error = balance.clone().oneshot(post).await.unwrap_err();
    assert!(matches!(error, BalanceError::Failed(_)), "{error:?}");
    assert_eq!(asked.take().len(), 1);
    balance.replace([
        ("a".to_owned(), 1, asked.member("a", unwell)),
        ("b".to_owned(), 0, asked.member("b", well)),
    ]);
    assert_eq!(ask(&balance, "/film/x").await.status(), 503);
    assert_eq!(asked.take().len(), 1);
    let nobody = Balance::<Member>::builder().build();
    let error = nobody.oneshot(get("/")).await.unwrap_err();
    assert!(matches!(error, BalanceError::NoMember));
}

/// A body that breaks off.
struct Broken;
impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        std::task::Poll::Ready(Some(Err(BodyError::source("reset"))))
    }
}

#[tokio::test]
async fn bodies_that_break_off_take_a_member_down_too() {
    let asked = Asked::default();
    let broken = || Ok(Response::new(Body::stream(Broken)));
    let balance = Balance::builder().member("a", 1, asked.member("a", broken)).build();
    for _ in 0..3 {
        assert!(!balance.members()[0].is_down);
        assert!(ask(&balance, "/film/1.m4s").await.into_body().collect(100).await.is_err());
    }
    assert!(balance.members()[0].is_down);
}

/// A client whose own body breaks off takes nobody down: neither where the member fails for it, nor where its
/// answer does.
#[tokio::test]
async fn a_request_whose_body_breaks_off_is_no_member_s_failure() {
    let reads = service_fn(|request: Request<Body>| async move {
        let answers = request.uri().path() == "/answers";
        let mut body = request.into_body();
        let read = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx));
        let failed = read.await.is_some_and(|frame| frame.is_err());
        match answers {
            true => Ok(Response::new(Body::stream(Broken))),
            false if failed => Err(std::io::Error::other("the request broke off")),
            false => refused(),
        }
    });
    let member: Member = BoxCloneSyncService::new(reads);
    let balance = Balance::builder().member("a", 1, member).build();
    let broken = |path: &str| Request::post(path).body(Body::stream(Broken)).unwrap();
    for _ in 0..20 {
        assert!(balance.clone().oneshot(broken("/fails")).await.is_err());
        let answer = balance.clone().oneshot(broken("/answers")).await.unwrap();
        assert!(answer.into_body().collect(100).await.is_err());
    }
    assert!(!balance.members()[0].is_down);
    // One that fails by itself is down.
    for _ in 0..3 {
        assert!(balance.clone().oneshot(get("/fails")).await.is_err());
    }
    assert!(balance.members()[0].is_down);
}

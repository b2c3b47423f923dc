//! Name servers of one's own: a scripted one on loopback, and what its answers' TTL does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use headwater_net::client::{NameServers, Resolve as _, Unconnected, Upstream, UpstreamError};
use headwater_net::{Clock, Timestamp};

use crate::name_server::NameServer;
use crate::names::{ask, servers};
use crate::service::until;

/// Limit: `UpstreamBuilder::dns_ttl`.
#[tokio::test]
async fn rfc_1035_3_2_1_an_answer_counts_for_its_ttl() {
    let (one, two) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let (_servers, port) = servers(&["127.0.0.1", "127.0.0.2"], None);
    let names = NameServer::start(one, 2);
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let mut upstream = Upstream::builder(format!("http://origin.test:{port}"))
        .resolver(Arc::new(NameServers::new([names.at]).unwrap()))
        .dns_ttl(Duration::from_secs(3600))
        .clock(clock.clone())
        .build()
        .unwrap();
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    names.say(Some((two, 60)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    assert_eq!(names.asked(), 1, "it counts for two seconds");
    clock.advance(Duration::from_secs(2));
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1", "nobody waits for the answer");
    until("it is asked again", || names.asked() == 2).await;
    // The answer is heard a moment after it was asked for.
    let mut last = String::new();
    for _ in 0..1000 {
        last = ask(&mut upstream).await.unwrap();
        if last == "127.0.0.2" {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(last, "127.0.0.2");
}

#[tokio::test]
async fn a_name_that_the_server_does_not_know_is_told_as_such() {
    let names = NameServer::start(Ipv4Addr::LOCALHOST, 60);
    let resolver = Arc::new(NameServers::new([names.at]).unwrap());
    let answer = resolver.resolve("origin.test").await.unwrap();
    assert_eq!(answer.ttl, Some(Duration::from_secs(60)));
    assert_eq!(answer.addresses, [Ipv4Addr::LOCALHOST]);
    names.say(None);
    let mut upstream =
        Upstream::builder("http://origin.test:1").resolver(resolver).build().unwrap();
    let error = ask(&mut upstream).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Connect(Unconnected::Name, _)), "{error:?}");
    assert!(matches!(NameServers::new([]).unwrap_err(), UpstreamError::Config(_)));
}

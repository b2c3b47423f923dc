//! Logs of QUIC's events: JSON text sequences (RFC 7464), bounded in number and size.

use std::fs;

use headwater_net::Protocol;
use headwater_net::server::{Qlog, QuicConfig};
use serde_json::Value;

use crate::client::Client;
use crate::service::{start_with, until};

#[tokio::test]
async fn each_connection_is_logged_and_old_logs_make_room() {
    const MOST: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let mut config = QuicConfig::default();
    config.qlog = Some(Qlog::new(folder.path().join("logs")).unwrap().files(2).bytes(MOST));
    let server = start_with(|builder| builder.quic(config));
    for _ in 0..3 {
        let client = Client::new(&server, Protocol::H3).await;
        assert_eq!(client.get("/bytes/500000").await.unwrap().body.len(), 500_000);
    }
    let metrics = server.handle.metrics();
    until("all closed", || metrics.connections_open(Protocol::H3) == 0).await;
    let logs = || -> Vec<String> {
        let files = fs::read_dir(folder.path().join("logs")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    };
    // They are whole when quinn has forgotten the connections.
    until("written", || logs().iter().all(|text| text.len() > 10_000)).await;
    let logs = logs();
    assert_eq!(logs.len(), 2, "three connections, and room for two logs");
    for text in logs {
        assert!(text.len() as u64 <= MOST && text.ends_with('\n'), "{} bytes", text.len());
        let records: Vec<Value> = text
            .split('\u{1e}')
            .skip(1)
            .map(|record| serde_json::from_str(record).unwrap())
            .collect();
        let (head, events) = records.split_first().unwrap();
        assert_eq!(head["qlog_format"], "JSON-SEQ", "{head}");
        let named = |name: &str| events.iter().any(|event| event["name"] == name);
        assert!(named("transport:packet_sent") && named("transport:packet_received"), "{text}");
    }
}

//! What is configured of sessions, limits and steering is done.

use serde_json::Value;

use crate::process::{Edge, Files, Origin, ask, get, wait_for};

fn config(origin: &Origin, more: &str) -> String {
    format!(
        "[server]\nlisten_http = \"127.0.0.1:0\"\nworkers = 1\n[operator]\nlisten = \"127.0.0.1:0\"\n\
         [[upstream]]\nname = \"media\"\norigins = \"{}\"\n\
         [[site]]\nhosts = \"*\"\nupstream = \"media\"\n{more}",
        origin.url
    )
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn sessions_limits_and_steering_are_as_they_are_configured() {
    let origin = Origin::start("media");
    let files = Files::new("");
    let events = files.path("events.jsonl");
    let more = format!(
        "[sessions]\non = true\nedge = \"e1\"\nreports = \"/cmcd\"\nevents = \"{}\"\n\
         [cmsd]\non = true\nname = \"e1\"\nmax_bitrate = 4000\n\
         [steering]\npath = \"/steer\"\npathways = [\"a\", \"b\"]\nhere = \"a\"\nttl = \"5 s\"\n\
         [[limit]]\nname = \"few\"\npath = \"/few/\"\nrequests = 1\nwindow = \"1 h\"\n",
        events.display()
    );
    files.write(&config(&origin, &more));
    let edge = Edge::start(&files);
    let (http, operator) = (edge.addr("http"), edge.addr("operator"));

    let answer = get(http, "h", "/film/1.m4s?CMCD=bl%3D4000%2Csid%3D%22one%22");
    assert_eq!(answer.status, 200);
    assert!(
        answer.field("cmsd-dynamic").starts_with("\"e1\";"),
        "{}",
        answer.field("cmsd-dynamic")
    );
    assert!(answer.field("cmsd-dynamic").contains(";mb=4000"));
    let report = "v=2,e=ps,sta=r,sid=\"one\",ts=5\n";
    // What asks adds a line feed to what it sends.
    let length = report.len() + 2;
    let fields = format!("content-type: application/cmcd\r\ncontent-length: {length}\r\n");
    let answer = ask(http, "POST", "h", "/cmcd", &format!("{fields}\r\n{report}"));
    assert_eq!(answer.status, 204);
    let view = json(&get(operator, "localhost", "/sessions").body);
    assert_eq!(
        (&view["sessions"][0]["id"], &view["sessions"][0]["rebuffers"]),
        (&"one".into(), &1.into())
    );
    let told = wait_for("the events", || {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        (text.lines().count() >= 2).then_some(text)
    });
    let told: Vec<Value> = told.lines().map(json).collect();
    assert_eq!((&told[0]["event"], &told[0]["edge"]), (&"begun".into(), &"e1".into()));
    assert_eq!((&told[1]["event"], &told[1]["title"]), (&"rebuffer".into(), &"/film".into()));

    let steered = json(&get(http, "h", "/steer?_HLS_pathway=a").body);
    assert_eq!(
        steered,
        serde_json::json!({"VERSION": 1, "TTL": 5, "PATHWAY-PRIORITY": ["a", "b"]})
    );
    assert_eq!(get(http, "h", "/few/a").status, 200);
    let refused = get(http, "h", "/few/b");
    assert_eq!((refused.status, refused.field("ratelimit-policy")), (429, "\"few\";q=1;w=3600"));

    // A reload that leaves limits as they are does not forget what was counted.
    let same = format!("{}\n", config(&origin, &more));
    files.write(&same);
    edge.signal("HUP");
    edge.hears("was read again");
    assert_eq!(get(http, "h", "/few/c").status, 429);
    files.write(&same.replace("requests = 1\n", "requests = 2\n"));
    edge.signal("HUP");
    edge.hears("limit[0].requests: 1 became 2");
    assert_eq!(get(http, "h", "/few/d").status, 200);
    let metrics = get(operator, "localhost", "/metrics").body;
    for line in [
        "headwater_edge_cmcd_total{by=\"report\",read=\"yes\"} 1",
        "headwater_edge_steered_total{sent=\"usual\"} 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}\n{metrics}");
    }
}

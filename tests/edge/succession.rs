//! How a process ends, and how another takes its place: SIGTERM, SIGUSR2, and the hand-over socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::process::{Edge, Files, Origin, command, get, wait_for};

/// An origin whose one answer is half sent, and the other half when it is told to.
fn halting() -> (String, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go, told) = channel();
    // Ends with the test's process.
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = BufReader::new(stream.try_clone().unwrap()).lines();
        assert!(head.map_while(Result::ok).any(|line| line.is_empty()));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").unwrap();
        if told.recv().is_ok() {
            stream.write_all(b"full").unwrap();
        }
    });
    (url, go)
}

fn config(origin: &str, more: &str) -> String {
    format!(
        "[server]\nlisten_http = '127.0.0.1:0'\n{more}\n\
         [[upstream]]\nname = 'media'\norigins = '{origin}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n"
    )
}

/// A request whose answer has begun.
fn begun(addr: SocketAddr) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0);
    }
    let mut half = [0; 4];
    answer.read_exact(&mut half).unwrap();
    assert_eq!(&half, b"half");
    answer
}

fn refuses(addr: SocketAddr) -> Option<()> {
    TcpStream::connect(addr).is_err().then_some(())
}

#[test]
fn sigterm_finishes_what_was_begun_and_takes_nothing_more() {
    let (url, go) = halting();
    let mut edge = Edge::start(&Files::new(&config(&url, "drain = '1 h'")));
    let addr = edge.addr("http");
    let mut answer = begun(addr);
    edge.signal("TERM");
    wait_for("an end of listening", || refuses(addr));
    go.send(()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "full");
    assert!(edge.ended().success(), "{}", edge.said());
    assert!(!edge.said().contains("cut"), "{}", edge.said());
}

#[test]
fn sigterm_cuts_what_outlasts_the_deadline_and_a_second_one_waits_for_nothing() {
    let (url, _go) = halting();
    let mut edge = Edge::start(&Files::new(&config(&url, "drain = '100 ms'")));
    let mut answer = begun(edge.addr("http"));
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    edge.hears("1 connections were cut at the deadline");
    assert!(!answer.read_to_end(&mut Vec::new()).is_ok_and(|rest| rest > 0), "nothing is made up");

    let (url, _go) = halting();
    let mut edge = Edge::start(&Files::new(&config(&url, "drain = '1 h'")));
    let _answer = begun(edge.addr("http"));
    edge.signal("TERM");
    edge.hears("draining");
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
}

#[test]
fn sigusr2_puts_the_next_process_in_place_while_the_first_one_ends_what_it_began() {
    let (url, go) = halting();
    let files = Files::new(&config(&url, "drain = '1 h'\n[operator]\nlisten = '127.0.0.1:0'"));
    let mut edge = Edge::start(&files);
    let (addr, operator) = (edge.addr("http"), edge.addr("operator"));
    let mut answer = begun(addr);
    // What the next one starts with; a configuration that it cannot start with leaves the first.
    files.write("no configuration");
    edge.signal("USR2");
    edge.hears("this process serves on");
    assert_eq!(get(operator, "localhost", "/health").status, 200);
    let next = Origin::start("next");
    files.write(&config(&next.url, "[operator]\nlisten = '127.0.0.1:0'"));
    edge.signal("USR2");
    edge.hears("another process took over, process ");
    let said = edge.said();
    let (_, pid) = said.split_once("another process took over, process ").unwrap();
    let next = Next(pid.lines().next().unwrap().parse().unwrap());
    assert!(get(addr, "a", "/y").body.starts_with("next "), "at the same port");
    assert_eq!(get(operator, "localhost", "/health").status, 200);
    go.send(()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "full");
    assert!(edge.ended().success(), "{}", edge.said());
    assert!(get(addr, "a", "/z").body.starts_with("next "));
    drop(next);
    wait_for("an end of listening", || refuses(addr));
}

/// Who asks for an end may have no time; who puts another process in place has, and its clients do not
/// know of it.
#[test]
fn what_is_under_way_at_a_hand_over_outlasts_the_deadline_of_an_end() {
    let (url, go) = halting();
    let operator = "drain = '1 s'\n[operator]\nlisten = '127.0.0.1:0'";
    let files = Files::new(&config(&url, operator));
    let mut edge = Edge::start(&files);
    let mut answer = begun(edge.addr("http"));
    // As a scraper's, which asks again and again.
    let mut scraper = TcpStream::connect(edge.addr("operator")).unwrap();
    write!(scraper, "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    scraper.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    edge.signal("USR2");
    edge.hears("another process took over");
    // It would be told of the wrong process. Before it would be idle for too long (60 s).
    scraper.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    scraper.read_to_end(&mut Vec::new()).expect("the operator's connection is closed");
    std::thread::sleep(Duration::from_secs(3));
    go.send(()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "full");
    assert!(edge.ended().success(), "{}", edge.said());
    assert!(!edge.said().contains("cut"), "{}", edge.said());
}

#[test]
fn what_outlasts_the_deadline_of_a_hand_over_is_cut_and_so_it_is_by_a_signal() {
    let (url, _go) = halting();
    let more = "drain = '1 h'\nhand_over_drain = '100 ms'";
    let files = Files::new(&config(&url, more));
    let mut edge = Edge::start(&files);
    let _answer = begun(edge.addr("http"));
    edge.signal("USR2");
    assert!(edge.ended().success(), "{}", edge.said());
    edge.hears("1 connections were cut at the deadline");

    let (url, _go) = halting();
    files.write(&config(&url, ""));
    let mut edge = Edge::start(&files);
    let _answer = begun(edge.addr("http"));
    edge.signal("USR2");
    edge.hears("draining … (SIGTERM ends it at once)");
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    edge.hears("connections were cut");
}

/// Nobody would know of the one that was to take over, and it would wait for a process that is gone.
#[test]
fn sigterm_ends_the_next_process_too_where_that_does_not_serve_yet() {
    let origin = Origin::start("one");
    let files = Files::new(&config(&origin.url, ""));
    let mut edge = Edge::start(&files);
    // What the next one reads first never comes.
    let path = files.path("edge.toml");
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    edge.signal("USR2");
    wait_for("the next process", || (edge.processes().len() == 2).then_some(()));
    edge.signal("TERM");
    assert!(edge.ended().success(), "{}", edge.said());
    wait_for("its end", || edge.processes().is_empty().then_some(()));
}

/// A process that another one started; ended with the test.
struct Next(u32);

impl Drop for Next {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-KILL", &self.0.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn a_process_of_another_parent_takes_over_at_the_hand_over_socket() {
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let files = Files::new("");
    let door = format!("[process]\nhand_over_socket = '{}'", files.path("door").display());
    files.write(&config(&one.url, &door));
    let mut first = Edge::start(&files);
    let addr = first.addr("http");
    assert!(get(addr, "a", "/x").body.starts_with("one "));
    files.write(&config(&two.url, &door));
    let second = Edge::spawn(&mut command(&files, &[]));
    assert_eq!(second.addr("http"), addr);
    first.hears("another process took over");
    assert!(first.ended().success(), "{}", first.said());
    assert!(get(addr, "a", "/y").body.starts_with("two "));
}

//! Whether a server that asks for tokens lets in who has one, and nobody else, and whether it says and notes
//! what it is measured for: what it costs means nothing otherwise.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load::{Load, Objects, Player, Protocol, Result};
use crate::peer::{SESSIONS, Server};

/// The longest that one answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// The most of an answer that is looked at, in bytes.
const MOST: u64 = 1 << 20;

/// Asks with the token of its player, with one that nobody signed, and with none.
///
/// # Errors
/// Where one is answered otherwise than it is to be.
pub(super) async fn check(server: &Server, tls: &rustls::ClientConfig) -> Result<()> {
    let player = server.player();
    for protocol in Protocol::ALL.into_iter().filter(|&protocol| server.speaks(protocol)) {
        let asks = [(player.clone(), true), (player.forger(), false), (Player::default(), false)];
        // The client of HTTP/3 takes no other answer than 200.
        let asks = asks.into_iter().filter(|(_, is_let_in)| *is_let_in || protocol != Protocol::H3);
        for (who, is_let_in) in asks {
            let load = Load {
                protocol,
                addr: server.addr(protocol),
                objects: Objects::new(1 << 10, 1).by(&who),
                connections: 1,
                streams: 1,
                tls: tls.clone(),
            };
            let status = load.status().await?;
            let fits = if is_let_in { status == 200 } else { matches!(status, 401 | 403) };
            if !fits {
                let (name, whom) = (server.name(), if is_let_in { "its player" } else { "others" });
                return Err(format!("{name} answers {whom} {status}, {}", protocol.name()).into());
            }
        }
    }
    Ok(())
}

/// Asks as its player does, and looks for what ours says in each answer: of itself and of the path (CMSD),
/// and that the page may read it (CORS).
///
/// # Errors
/// Where one of them is not said.
pub(super) async fn check_answer(server: &Server) -> Result<()> {
    let page = server.player().page.ok_or("a player without a page")?;
    let answer = ask(server, &target(server)).await?;
    let said = |name: &str| field(&answer, name).unwrap_or_default();
    let of_path = [";etp=", ";rtt=", ";rd="];
    let cmsd = said("cmsd-dynamic");
    if !of_path.iter().all(|key| cmsd.contains(key)) {
        return Err(format!("{} says no CMSD of the path, but '{cmsd}'", server.name()).into());
    }
    if said("access-control-allow-origin") != page {
        return Err(format!("{} lets no page at {page} read it", server.name()).into());
    }
    Ok(())
}

/// Asks as its player does, and reads back that its session has as many answers more, with their bytes.
///
/// # Errors
/// Where they were not counted.
pub(super) async fn check_sessions(server: &Server) -> Result<()> {
    const ANSWERS: u64 = 3;
    ask(server, &target(server)).await?;
    let before = session(server).await?;
    for _ in 0..ANSWERS {
        ask(server, &target(server)).await?;
    }
    let after = session(server).await?;
    let grown = |key: &str| after[key].as_u64()?.checked_sub(before[key].as_u64()?);
    let counted = (grown("answers"), grown("bytes"));
    let last = (after["bitrate"].as_u64(), after["buffer"].as_u64(), after["tier"].as_str());
    let to_be = (Some(ANSWERS), Some(ANSWERS << 10));
    if counted != to_be || last != (Some(4000), Some(12000), Some("HIT")) {
        return Err(
            format!("{} notes its session as {after}, after {before}", server.name()).into()
        );
    }
    Ok(())
}

/// What a player asks for.
fn target(server: &Server) -> String {
    let Player { before, after, .. } = server.player();
    format!("{before}/media/0/object-1024{after}")
}

/// What a server tells of the session of its player.
async fn session(server: &Server) -> Result<serde_json::Value> {
    let told = ask(server, SESSIONS).await?;
    let line = told.lines().find(|line| line.starts_with("{\"sid\":\"6e2fb550-"));
    let line = line.ok_or_else(|| format!("{} notes no session: {told}", server.name()))?;
    Ok(serde_json::from_str(line)?)
}

/// An answer over HTTP/1.1, as it comes.
async fn ask(server: &Server, target: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(server.addr(Protocol::H1)).await?;
        let page = server.player().page.map(|page| format!("Origin: {page}\r\n"));
        let page = page.unwrap_or_default();
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{page}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(ANSWER, asked).await?
}

/// A field of an answer.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find_map(|(one, value)| one.eq_ignore_ascii_case(name).then(|| value.trim()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::peer::{self, Setting, Tier};

    /// The command that cargo built beside this test.
    fn command() -> Option<PathBuf> {
        let test = std::env::current_exe().ok()?;
        Some(test.ancestors().nth(2)?.join("headwater")).filter(|command| command.is_file())
    }

    /// It, and an nginx that `HEADWATER_NGINX` names.
    fn programs() -> Option<(PathBuf, PathBuf)> {
        let nginx = PathBuf::from(std::env::var_os("HEADWATER_NGINX")?);
        Some((command()?, nginx)).filter(|(_, nginx)| peer::has_all(nginx))
    }

    /// Runs something with what servers are given, an origin behind it.
    fn run<F: Future<Output = ()>>(
        test: impl FnOnce(Setting, rustls::ClientConfig, crate::origin::Origin) -> F,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().to_owned();
            let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let pair = rcgen::generate_simple_self_signed(names).unwrap();
            std::fs::write(&certificate, pair.cert.pem()).unwrap();
            std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
            let origin = crate::origin::serve().await.unwrap();
            let (addr, log, tier) = (origin.addr, false, Tier::Ram);
            let setting = Setting { dir, certificate, key, origin: addr, log, tier };
            test(setting, crate::load::trust_only(pair.cert.der()).unwrap(), origin).await;
        });
    }

    #[test]
    fn ours_and_nginx_let_in_a_good_token_and_no_other() {
        let Some((command, nginx)) = programs() else {
            println!(
                "skipped: HEADWATER_NGINX names no nginx with all modules, or no command is built"
            );
            return;
        };
        run(async |setting, tls, _origin| {
            let ours = peer::layered(&command, &setting).unwrap();
            check(&ours, &tls).await.unwrap();
            check_answer(&ours).await.unwrap();
            let guarded = peer::guarded(&nginx, &setting).unwrap();
            check(&guarded, &tls).await.unwrap();
            assert!(check_answer(&guarded).await.unwrap_err().to_string().contains("CMSD"));
            // What asks for no token does not pass.
            let open = peer::nginx(&nginx, &setting).unwrap();
            assert!(!open.asks_for_tokens());
        });
    }

    #[test]
    fn an_nginx_that_is_scripted_does_the_work_that_ours_does() {
        let Some((command, nginx)) = command().zip(peer::scripted_nginx()) else {
            println!("skipped: no nginx with Lua is installed, or no command is built");
            return;
        };
        run(async |setting, tls, origin| {
            let server = peer::scripted(&nginx, &command, &setting).unwrap();
            assert!(!server.speaks(Protocol::H3));
            check(&server, &tls).await.unwrap();
            check_answer(&server).await.unwrap();
            check_sessions(&server).await.unwrap();

            let Player { before, after, token, .. } = server.player();
            let status = async |target: &str| {
                let answer = ask(&server, target).await.unwrap();
                answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
            };
            // Its path, and what it says of its expiry and is signed.
            assert_eq!(status(&format!("{before}/other/object-1024{after}")).await, 403);
            assert_eq!(status(&format!("{before}/media/object-1024/..%2f../o")).await, 403);
            let mut late: Vec<&str> = token.split('.').collect();
            late[2] = "99999999999";
            let late = late.join(".");
            assert_eq!(status(&format!("/t/{late}/media/0/object-1024")).await, 401);
            assert_eq!(status("/t/hw1.a/media/0/object-1024").await, 401);
            assert_eq!(status("/t/").await, 401);

            // CMCD is no part of the key, and all else of a query is.
            let asked = origin.asked();
            let object = format!("{before}/media/0/object-1024");
            for query in ["", "?CMCD=br%3D1", "?CMCD=sid%3D%22other%22%2Cbr%3D7%2Cot%3Dv%2Cbl%3D5"]
            {
                assert_eq!(status(&format!("{object}{query}")).await, 200);
            }
            assert_eq!(origin.asked(), asked);
            for query in ["?a=b", "?a=b&CMCD=br%3D1", "?CMCD=br%3D1&a=b", "?a=b"] {
                assert_eq!(status(&format!("{object}{query}")).await, 200);
            }
            assert_eq!(origin.asked(), asked + 1);
            assert_eq!(status(&format!("{object}?aCMCD=br%3D1")).await, 200);
            assert_eq!(origin.asked(), asked + 2);

            // What does not fit was not said; nor is what was not found a session.
            for wrong in [
                "sid%3D%22wrong%22%2Cbr%3D%22x%22",
                "sid%3D%22wrong%22%2Cbr%3D-5",
                "sid%3D%22wrong%22%2Cbs%3D1",
                "sid%3D%22wrong%22%2C",
                "sid%3D%22wrong%22%20bs",
                "sid%3Dwrong",
                "sid%3D%22wrong",
            ] {
                assert_eq!(status(&format!("{object}?CMCD={wrong}")).await, 200);
            }
            let lost = format!("{before}/media/none?CMCD=sid%3D%22wrong%22");
            assert_eq!(status(&lost).await, 404);
            let listed = "sid%3D%22a%5C%22b%22%2Cbr%3D(100%20300%3Bv%20200)%2Cot%3Dav%2Cnew%3D%3AYQ%3D%3D%3A%2Csu";
            assert_eq!(status(&format!("{object}?CMCD={listed}")).await, 200);
            let told = ask(&server, SESSIONS).await.unwrap();
            assert!(!told.contains("wrong"), "{told}");
            let lines = told.lines().filter(|line| line.starts_with('{'));
            let lines: Vec<serde_json::Value> =
                lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            let of = |sid: &str| lines.iter().find(|line| line["sid"] == sid).unwrap();
            assert_eq!((&of("other")["bitrate"], &of("other")["buffer"]), (&7.into(), &5.into()));
            assert_eq!(of("a\"b")["bitrate"], 300);
        });
    }

    #[test]
    fn a_forger_s_token_is_another() {
        let token = "hw1.abcAdef".to_owned();
        let (before, after) = (format!("/t/{token}"), format!("?md5={token}&a=b"));
        let forger = Player { before, after, page: None, token }.forger();
        assert_eq!(forger.token, "hw1.aAcAdef");
        assert_eq!(
            (forger.before, forger.after),
            ("/t/hw1.aAcAdef".into(), "?md5=hw1.aAcAdef&a=b".into())
        );
        assert_eq!(Player { token: "A".into(), ..Player::default() }.forger().token, "B");
    }
}

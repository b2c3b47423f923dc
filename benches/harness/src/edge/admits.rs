//! Whether a server that asks for tokens lets in who has one, and nobody else: what it costs means nothing
//! otherwise.

use crate::load::{Load, Objects, Player, Protocol, Result};
use crate::peer::Server;

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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::peer::{self, Setting, Tier};

    /// The command that cargo built beside this test, and an nginx that `HEADWATER_NGINX` names.
    fn programs() -> Option<(PathBuf, PathBuf)> {
        let nginx = PathBuf::from(std::env::var_os("HEADWATER_NGINX")?);
        let test = std::env::current_exe().ok()?;
        let command = test.ancestors().nth(2)?.join("headwater");
        (command.is_file() && peer::has_all(&nginx)).then_some((command, nginx))
    }

    #[test]
    fn ours_and_nginx_let_in_a_good_token_and_no_other() {
        let Some((command, nginx)) = programs() else {
            println!(
                "skipped: HEADWATER_NGINX names no nginx with all modules, or no command is built"
            );
            return;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let dir = tempfile::tempdir().unwrap();
            let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let pair = rcgen::generate_simple_self_signed(names).unwrap();
            std::fs::write(&certificate, pair.cert.pem()).unwrap();
            std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
            let origin = crate::origin::serve().await.unwrap();
            let dir = dir.path().to_owned();
            let (addr, log, tier) = (origin.addr, false, Tier::Ram);
            let setting = Setting { dir, certificate, key, origin: addr, log, tier };
            let tls = crate::load::trust_only(pair.cert.der()).unwrap();
            check(&peer::layered(&command, &setting).unwrap(), &tls).await.unwrap();
            check(&peer::guarded(&nginx, &setting).unwrap(), &tls).await.unwrap();
            // What asks for no token does not pass.
            let open = peer::nginx(&nginx, &setting).unwrap();
            assert!(!open.asks_for_tokens());
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

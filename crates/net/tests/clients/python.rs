//! The clients that are Python packages: each a script that takes a case, a port and the length of
//! a large body, and ends with 0 when it went well, with 77 when its client has no way to do it.

use std::path::PathBuf;

use tokio::process::Command;

use crate::{Client, Outcome, large, output};

/// The clients, where `HEADWATER_PYTHON` is set.
pub(crate) fn clients() -> Vec<Client> {
    let Some(python) = std::env::var_os("HEADWATER_PYTHON").filter(|set| !set.is_empty()) else {
        return Vec::new();
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    [("aioquic", "aioquic_client.py"), ("curl", "curl_client.py")]
        .map(|(name, script)| {
            let (python, script) = (python.clone(), folder.join(script));
            Client {
                name,
                run: Box::new(move |case, servers| {
                    let mut command = Command::new(&python);
                    command.arg(&script).arg(case).arg(servers.port(case).to_string());
                    command.arg(large().to_string());
                    Box::pin(async move {
                        match output(&mut command).await {
                            Ok(_) => Outcome::Passed,
                            Err(outcome) => outcome,
                        }
                    })
                }),
            }
        })
        .into()
}

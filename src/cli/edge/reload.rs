//! The configuration read again: all of it is put in force, or nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater::edge::Operator;
use headwater::edge::access_log::LogFile;
use headwater::edge::hints::HintMetrics;
use headwater::edge::operator::Caches;
use headwater::net::server::{Duties, Reloaded, ServerHandle, Tls};
use headwater::proto::config::Edge as Config;

use super::super::Error;
use super::certificates;
use super::entrance::Gate;
use super::files;
use super::settings::{self, Lasting};
use super::shield::{Held, Peers};
use super::shields::{self, Shields};
use super::sites::{SitePolicy, Sites};
use super::standing::Standing;
use super::trace;
use super::upstreams::{self, Parts, Upstreams};

/// Keys that change under running requests; all others need a restart.
const LIVE: [&str; 34] = [
    "cmsd",
    "geo",
    "limit",
    "log",
    "operator.token_env",
    "operator.token_file",
    "policy",
    "server.drain",
    "server.early_data_upstream",
    "server.hand_over_drain",
    "server.headers",
    "server.limits",
    "server.max_target",
    "server.methods",
    "server.priorities",
    "server.tls.certificate",
    "server.tls.client_ca",
    "server.tls.clients",
    "server.tls.folder",
    "server.tls.key",
    "server.tls.self_signed",
    "sessions",
    "shed",
    "shield.ca",
    "shield.client_certificate",
    "shield.client_key",
    "shield.known_as",
    "shield.patience",
    "shield.peers",
    "shield.weights",
    "site",
    "steering",
    "trace",
    "upstream",
];

/// Of them, what does not: clients that come back hold the server to what they were told before.
const FIXED: [&str; 1] = ["server.limits.max_header_bytes"];

/// What is said after keys that change with the process.
const RESTART: &str = "SIGUSR2 restarts without a lost request";

/// What runs, as far as a reload changes it.
pub(super) struct Running {
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) upstreams: Upstreams,
    pub(super) standing: Standing,
    pub(super) parts: Parts,
    /// What the files of `[shield]` hold: of the secret, what they held when it began, which clients of peers
    /// that come later show, too.
    pub(super) held: Held,
    pub(super) shields: Shields,
    pub(super) hints: HintMetrics,
    pub(super) policy: SitePolicy,
    pub(super) gate: Arc<Gate>,
    pub(super) lasting: Lasting,
    pub(super) log_file: LogFile,
    pub(super) tls: Option<Tls>,
    pub(super) server: Arc<ServerHandle>,
    pub(super) operator: Operator,
}

impl Running {
    /// Reads the file again, and all files that it names, puts them in force, and says what changed. The
    /// access log is opened again. Blocks while it reads.
    ///
    /// # Errors
    /// What keeps the new configuration from being used, in lines for people: nothing has changed
    /// then.
    pub(super) fn reload(&mut self) -> Result<String, Error> {
        let (config, places) = super::load(&self.path)??;
        files::look(&config, &places)?;
        let changed = self.put(config);
        changed.map_err(|error| files::placed(error, &places))
    }

    /// Puts a configuration in force, and says what changed.
    fn put(&mut self, config: Config) -> Result<String, Error> {
        let changes = self.config.changes(&config);
        let fixed: Vec<String> = changes
            .iter()
            .filter(|change| !is_live(change.path()) || self.has_no_place(change.path()))
            .map(|change| format!("{}: {change}; that needs a restart", self.path.display()))
            .collect();
        if !fixed.is_empty() {
            return Err(format!("{}\n{RESTART}", fixed.join("\n")).into());
        }
        let held = self.held.again(&config.shield)?;
        let parts = self.parts.beside(Peers::of(&config.shield, &held)?);
        let upstreams = upstreams::make(&config.upstreams, &self.upstreams, &parts)?;
        let sites = Sites::new(&config, &upstreams)?;
        let shields = shields::make(&upstreams, &self.shields, &self.policy, &self.hints)?;
        let collector = trace::collector(&config.trace)?;
        let token = settings::token(&config.operator)?;
        let kept = self.lasting.media.kept(&config)?;
        let edge = settings::edge(&config, &self.lasting, &kept, &shields)?;
        // Files that are made here go again where what follows fails.
        let log = settings::log_file(&config.log)?;
        let events = self.lasting.media.events_file(&config.sessions)?;
        // The last that can fail, and it changes all or nothing by itself.
        let certificates =
            self.tls.as_ref().map(|tls| self.certificates(tls, &config)).transpose()?;

        let sites = self.policy.put(sites);
        // Before there are requests to be written there.
        self.log_file.put(log);
        self.lasting.media.put(&config.sessions, events, kept);
        self.lasting.recorder.put(collector, &config.trace);
        self.gate.put(edge, sites);
        self.server.set_limits(&settings::limits(&config.server.limits));
        self.standing.put(&upstreams);
        self.operator.put_token(token);
        let anew = self.held.differs(&held);
        if anew || self.config.shield != config.shield {
            upstreams::put_peers(&upstreams, &parts, anew);
        }
        self.held = held;
        upstreams::retire(&self.upstreams, &upstreams);
        self.parts = parts;
        self.upstreams = upstreams;
        self.shields = shields;
        self.config = config;
        let mut said = vec![match changes.len() {
            0 => format!("{} was read again: nothing in it changed", self.path.display()),
            _ => format!("{} was read again and is in force:", self.path.display()),
        }];
        said.extend(changes.iter().map(|change| format!("  {change}")));
        if let Some(now) = certificates {
            said.push(format!("  certificates: {} in force, {} of them new", now.total, now.added));
        }
        Ok(said.join("\n"))
    }
}

impl Running {
    /// Whether a change is of what there is no place for: the server began without certificates.
    fn has_no_place(&self, path: &str) -> bool {
        path.starts_with("server.tls.") && self.tls.is_none()
    }

    /// Reads certificates again, from where they are by now.
    fn certificates(&self, tls: &Tls, to: &Config) -> Result<Reloaded, Error> {
        if self.config.server.tls == to.server.tls {
            return Ok(tls.reload()?);
        }
        let own = certificates::own(&to.server)?;
        Ok(tls.replace_all(own.as_ref(), certificates::clients(&to.server))?)
    }
}

fn is_live(path: &str) -> bool {
    let below = |key: &&str| {
        path.strip_prefix(*key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    LIVE.iter().any(below) && !FIXED.iter().any(below)
}

/// What this process does beside answering, when signals or another process ask for it.
pub(super) struct Upkeep {
    pub(super) running: Mutex<Running>,
    pub(super) caches: Caches,
}

impl Upkeep {
    pub(super) fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Duties for Upkeep {
    /// Blocks this thread, which answers nobody, while it reads.
    async fn reload(&self) {
        let mut running = self.running();
        match running.reload() {
            Ok(said) => self.say(&said),
            Err(error) => {
                self.say(&format!("{error}\n{}: nothing was changed", running.path.display()));
            }
        }
    }

    /// Says nothing when it went well: a rotation does so every night.
    async fn reopen(&self) {
        let (log, events) = {
            let running = self.running();
            (running.log_file.clone(), running.lasting.media.events.clone())
        };
        for (what, file) in [("the access log", log), ("the file of sessions' events", events)] {
            match file.reopen() {
                Ok(reopened) => file.put(reopened),
                Err(error) => self.say(&format!("{what} cannot be opened again: {error}")),
            }
        }
    }

    async fn release(&self) {
        self.caches.release().await;
    }

    async fn resume(&self) {
        if let Err(error) = self.caches.resume().await {
            self.say(&format!("no purges are taken: {error}"));
        }
    }

    fn say(&self, text: &str) {
        crate::cli::tell(text);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::is_live;

    /// It is made from the configuration's structures, and so has every key.
    const KEYS: &str = include_str!("../../../docs/configuration.md");
    const PAGE: &str = include_str!("../../../docs/running.md");

    /// The keys that take a new process, as the page has them.
    fn fixed() -> String {
        let mut sections = BTreeMap::<&str, (Vec<&str>, usize)>::new();
        let mut heading = "";
        for line in KEYS.lines() {
            if let Some(of) = line.strip_prefix("## `") {
                heading = of.trim_end_matches('`');
            }
            let Some((key, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`'))
            else {
                continue;
            };
            let section = heading.trim_matches(['[', ']']);
            let (fixed, all) = sections.entry(section).or_default();
            *all += 1;
            if !is_live(&format!("{section}.{key}")) {
                fixed.push(key);
            }
        }
        let rows = sections.into_iter().filter(|(_, (fixed, _))| !fixed.is_empty());
        let rows = rows.map(|(section, (fixed, all))| match fixed.len() {
            many if many == all => format!("| `[{section}]` | all |\n"),
            _ => format!("| `[{section}]` | `{}` |\n", fixed.join("`, `")),
        });
        rows.collect()
    }

    #[test]
    fn the_page_names_each_key_that_takes_a_new_process() {
        let table = format!("| section | keys |\n|---|---|\n{}\n", fixed());
        assert!(PAGE.contains(&table), "docs/running.md has to have\n{table}");
    }

    #[test]
    fn what_listens_and_what_is_kept_takes_a_new_process() {
        for path in [
            "site",
            "site[0].route[1].ttl",
            "upstream[0].origins",
            "server.headers.x-a",
            "server.limits.max_body",
            "log.masked",
            "shield.peers",
            "sessions.capacity",
            "trace.queue",
            "trace.header_files.authorization",
        ] {
            assert!(is_live(path), "{path}");
        }
        for path in [
            "server.listen",
            "server.headerss",
            "server.limits.max_header_bytes",
            "server.tls.reload_every",
            "sessionss",
            "cache.ram",
            "operator.listen",
            "shield.ahead",
            "shield.link_file",
            "siteb",
        ] {
            assert!(!is_live(path), "{path}");
        }
    }
}

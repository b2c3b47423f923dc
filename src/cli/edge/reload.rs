//! The configuration read again: all of it is put in force, or nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater::edge::Operator;
use headwater::edge::access_log::LogFile;
use headwater::edge::hints::HintMetrics;
use headwater::edge::operator::Caches;
use headwater::net::server::{Duties, Reloaded, ServerHandle, Tls};
use headwater::origin::Metrics;
use headwater::proto::config::Edge as Config;

use super::super::Error;
use super::certificates;
use super::entrance::Gate;
use super::files;
use super::settings::{self, Lasting};
use super::shields::{self, Shields};
use super::sites::{SitePolicy, Sites};
use super::standing::Standing;
use super::upstreams::{self, Upstreams};

/// Keys that change under running requests; all others need a restart.
const LIVE: [&str; 19] = [
    "geo",
    "limit",
    "log.access",
    "operator.token_env",
    "operator.token_file",
    "policy",
    "server.drain",
    "server.headers",
    "server.limits",
    "server.max_target",
    "server.methods",
    "server.tls.certificate",
    "server.tls.folder",
    "server.tls.key",
    "server.tls.self_signed",
    "site",
    "trace.believe",
    "trace.sample",
    "upstream",
];

/// Of them, what does not: clients that come back hold the server to what they were told before.
const FIXED: [&str; 1] = ["server.limits.max_header_bytes"];

/// What runs, as far as a reload changes it.
pub(super) struct Running {
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) upstreams: Upstreams,
    pub(super) standing: Standing,
    pub(super) origins: Metrics,
    pub(super) shields: Shields,
    pub(super) hints: HintMetrics,
    pub(super) policy: SitePolicy,
    pub(super) gate: Arc<Gate>,
    pub(super) lasting: Lasting,
    pub(super) log_file: Option<LogFile>,
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
            .filter(|change| !is_live(change.path()) || self.begins_or_ends(&config, change.path()))
            .map(|change| format!("{}: {change}; that needs a restart", self.path.display()))
            .collect();
        if !fixed.is_empty() {
            return Err(fixed.join("\n").into());
        }
        let upstreams = upstreams::make(&config.upstreams, &self.upstreams, &self.origins)?;
        let sites = Sites::new(&config, &upstreams)?;
        let shields = shields::make(&upstreams, &self.shields, &self.policy, &self.hints)?;
        let edge = settings::edge(&config, &self.lasting, &shields)?;
        let log = config.log.access.as_deref().map(LogFile::reopen_at).transpose();
        let log = log.map_err(|error| format!("the access log cannot be opened again: {error}"))?;
        let token = settings::token(&config.operator)?;
        // The last that can fail, and it changes all or nothing by itself.
        let certificates =
            self.tls.as_ref().map(|tls| self.certificates(tls, &config)).transpose()?;

        let sites = self.policy.put(sites);
        self.gate.put(edge, sites);
        if let (Some(file), Some(log)) = (&self.log_file, log) {
            file.put(log);
        }
        self.server.set_limits(&settings::limits(&config.server.limits));
        self.standing.put(&upstreams);
        self.operator.put_token(token);
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
    /// Whether a change is of the access log, and not from one file to another: its thread begins and
    /// ends with the process. So do certificates: a server without any has no place for them.
    fn begins_or_ends(&self, to: &Config, path: &str) -> bool {
        match path {
            "log.access" => self.config.log.access.is_some() != to.log.access.is_some(),
            _ => path.starts_with("server.tls.") && self.tls.is_none(),
        }
    }

    /// Reads certificates again, from where they are by now.
    fn certificates(&self, tls: &Tls, to: &Config) -> Result<Reloaded, Error> {
        if self.config.server.tls == to.server.tls {
            return Ok(tls.reload()?);
        }
        Ok(tls.replace(certificates::own(&to.server)?.as_ref())?)
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
        let file = self.running().log_file.clone();
        let Some(file) = file else { return };
        match file.reopen() {
            Ok(reopened) => file.put(reopened),
            Err(error) => self.say(&format!("the access log cannot be opened again: {error}")),
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
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::is_live;

    #[test]
    fn what_listens_and_what_is_kept_takes_a_new_process() {
        for path in [
            "site",
            "site[0].route[1].ttl",
            "upstream[0].origins",
            "server.headers.x-a",
            "server.limits.max_body",
        ] {
            assert!(is_live(path), "{path}");
        }
        for path in [
            "server.listen",
            "server.headerss",
            "server.limits.max_header_bytes",
            "server.tls.client_ca",
            "cache.ram",
            "operator.listen",
            "siteb",
        ] {
            assert!(!is_live(path), "{path}");
        }
    }
}

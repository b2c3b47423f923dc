//! How an edge is configured: one TOML document, read into plain structures, checked as a whole.
//!
//! The structures are serde's, so that a control plane can push the same as JSON. Everything has a
//! default; [`Edge::parse`] reports all that is wrong and not the first, each with its line and the
//! word that was meant; variables of the environment override single keys. Secrets never stand in
//! the document: it names files and variables that hold them.
//!
//! ```
//! use headwater_proto::config::Edge;
//!
//! let text = "
//! [server]
//! listn = '[::]:443'
//! drain = '10 parsecs'
//! ";
//! let wrongs = Edge::parse("edge.toml", text, []).unwrap_err().to_string();
//! assert!(wrongs.contains("edge.toml:3: key 'listn' is unknown; did you mean 'listen'?\n"));
//! assert!(wrongs.contains("edge.toml:4: key 'drain': '10 parsecs' is no time; a time is"));
//! ```
//!
//! The document's keys are told of in docs/configuration.md, which is made from the documentation
//! of the structures here.

pub mod acme;
pub mod answer;
mod bounded;
pub mod cache;
mod changes;
mod check;
pub mod clients;
pub mod cors;
pub mod log;
pub mod media;
mod near;
pub mod quantity;
mod read;
pub mod route;
pub mod running;
pub mod security;
pub mod server;
pub mod shield;
pub mod site;
pub mod store;
pub mod text;
pub mod tokens;
pub mod trace;
mod tree;
pub mod upstream;
mod wrong;

use serde::{Deserialize, Serialize};

pub use changes::Change;
pub use tree::{MAX_DOCUMENT, Step, VARIABLES};
pub use wrong::{Place, Places, Wrong, Wrongs};

use cache::Cache;
use clients::Geo;
use log::Log;
use media::{Cmsd, Limit, Sessions, Shed, Steering};
use route::Route;
use running::{Operator, Process};
use server::Server;
use shield::Shield;
use site::Site;
use trace::Trace;
use upstream::Upstream;

/// The most faults that are reported of one document.
pub const MAX_WRONGS: usize = 100;

/// All of an edge's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Edge {
    /// Listeners and what holds for every request.
    pub server: Server,
    /// What is kept, and how much.
    pub cache: Cache,
    /// Groups of origins: at most 4,096.
    #[serde(rename = "upstream", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "bounded::upstreams")]
    pub upstreams: Vec<Upstream>,
    /// What is fetched before it is asked for.
    pub shield: Shield,
    /// Virtual hosts: at most 10,000.
    #[serde(rename = "site", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "bounded::sites")]
    pub sites: Vec<Site>,
    /// Where clients are.
    pub geo: Geo,
    /// What is being watched.
    pub sessions: Sessions,
    /// How much clients may ask for, by at most 64 limits.
    #[serde(rename = "limit", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "bounded::limits")]
    pub limits: Vec<Limit>,
    /// What is turned away when there is too much to do.
    pub shed: Shed,
    /// What players are told.
    pub cmsd: Cmsd,
    /// Where players are told to fetch from.
    pub steering: Steering,
    /// What several routes share, in the words of a route: each names those that hold for it. At most 64.
    #[serde(rename = "policy", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "bounded::policies")]
    pub policies: Vec<Route>,
    /// What is written down.
    pub log: Log,
    /// What a collector is told.
    pub trace: Trace,
    /// Who may look inside and purge.
    pub operator: Operator,
    /// The process and the one after it.
    pub process: Process,
}

impl Edge {
    /// Reads a document called `file`, with what `variables` override: names that begin with
    /// [`VARIABLES`], then sections and keys, in upper case, with two underscores between them
    /// (`HEADWATER__SERVER__LISTEN`, `HEADWATER__UPSTREAM__MEDIA__ORIGINS`, or by number,
    /// `HEADWATER__SITE__0__HOSTS`). Other variables are left out. A value is written as in TOML,
    /// without quotes around a text; a list as `["a", "b"]`.
    ///
    /// # Errors
    /// All that is wrong, up to [`MAX_WRONGS`]; where the text is no TOML, that alone.
    pub fn parse(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Wrongs> {
        Self::parse_placed(file, text, variables).map(|(read, _)| read)
    }

    /// As [`Edge::parse`], and where everything was written: for those who find something wrong with it
    /// that the document alone does not tell, such as a file that is not there.
    ///
    /// # Errors
    /// As [`Edge::parse`].
    pub fn parse_placed(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Places), Wrongs> {
        let mut tree = tree::Tree::read(text).map_err(|wrongs| Wrongs::new(file, wrongs))?;
        let mut variables: Vec<_> =
            variables.into_iter().filter(|(name, _)| name.starts_with(VARIABLES)).collect();
        variables.sort();
        let mut wrongs = Vec::new();
        for (name, value) in variables {
            wrongs.extend(tree.set(&name, value).err());
        }
        let (read, tree, faults) = read::read::<Self>(tree);
        let Some(read) = read else {
            wrongs.extend(faults);
            return Err(Wrongs::new(file, wrongs));
        };
        // What could not be read is told of once: not by its absence as well.
        let known = |wrong: &Wrong| faults.iter().any(|fault| fault.of_key() == wrong.of_key());
        let found = read.check().into_iter().filter(|wrong| !known(wrong));
        let found = found.map(|wrong| wrong.placed(|path| tree.place(path)));
        wrongs.extend(found.collect::<Vec<_>>());
        wrongs.extend(faults);
        if wrongs.is_empty() {
            Ok((read, Places::new(file, tree)))
        } else {
            Err(Wrongs::new(file, wrongs))
        }
    }

    /// What is wrong with the whole, wherever it came from: references to what is not there, names
    /// that are there twice, listeners that overlap, numbers out of bounds.
    pub fn check(&self) -> Vec<Wrong> {
        check::check(self)
    }

    /// The same with all that holds for each route written out in it: what its policies say, and the
    /// defaults. [`Self::to_toml`] of this is what a person may want to see.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let mut resolved = self.clone();
        for (site, of) in resolved.sites.iter_mut().zip(&self.sites) {
            for route in &mut site.routes {
                *route = self.route(of, route);
            }
        }
        resolved
    }

    /// All that holds for what no route of a site takes.
    pub fn otherwise(&self, site: &Site) -> Route {
        self.route(site, &Route::default())
    }

    /// All that holds for a route of a site, `upstream` of the site included.
    fn route(&self, site: &Site, route: &Route) -> Route {
        let mut route = route.resolved(&site.policies, &self.policies);
        route.upstream = route.upstream.or_else(|| site.upstream.clone());
        route
    }

    /// The whole as TOML, defaults written out. [`Edge::parse`] reads the same from it. Empty only
    /// where a text cannot be written, which none is that was read.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// What differs in another, in the order of the keys.
    pub fn changes(&self, to: &Self) -> Vec<Change> {
        changes::between(self, to)
    }
}

//! Whom an edge lets in by where they come from, addresses and countries, and whose pages may read what it
//! serves. A layer that no flag asks for is not there.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use headwater::proto::config::cors::PageOrigin;
use headwater_edge::{
    AddressRules, Addresses, Cors, CorsLayer, Countries, EdgeBuilder, GeoDatabase, GeoRules,
};

use crate::Error;

/// Fields of answers that scripts of pages may read, beside those that they always may.
const EXPOSED: [&str; 6] =
    ["accept-ranges", "cmsd-dynamic", "cmsd-static", "content-length", "content-range", "date"];

/// The flags of an edge about where clients come from.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Clients (of --role all and --role edge)")]
pub struct Clients {
    /// Pages whose scripts may read what is served (CORS), separated by commas, such as
    /// `https://video.example`, `https://*.video.example` for all below that host, or `*` for any
    /// [default: any, of media]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub cors: Vec<PageOrigin>,

    /// A file of addresses and networks such as 192.0.2.0/24, one a line, `#` before comments: nobody else
    /// is let in. Read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,

    /// The same of those that are not let in. Of networks that lie in one another, the smallest decides
    #[arg(long, value_name = "FILE")]
    pub deny: Option<PathBuf>,

    /// A database of where addresses are (MaxMind DB), such as GeoLite2-Country.mmdb: sessions and metrics
    /// know countries by it
    #[arg(long, value_name = "FILE")]
    pub geo: Option<PathBuf>,

    /// Serve these countries alone, two letters each, separated by commas; nobody whose country is not known
    #[arg(long, value_name = "CODES", value_delimiter = ',', requires = "geo")]
    pub countries: Vec<String>,

    /// Serve all countries but these
    #[arg(
        long,
        value_name = "CODES",
        value_delimiter = ',',
        requires = "geo",
        conflicts_with = "countries"
    )]
    pub not_countries: Vec<String>,
}

impl Clients {
    /// Adds the layers that the flags ask for. Reads their files.
    ///
    /// # Errors
    /// Where a file cannot be read or used, or a flag names no country.
    pub(crate) fn guard(&self, mut edge: EdgeBuilder) -> Result<(EdgeBuilder, Lists), Error> {
        if !self.cors.is_empty() {
            let cors = if self.cors.contains(&PageOrigin::Any) {
                Cors::any()
            } else {
                Cors::of(self.cors.iter().map(PageOrigin::to_string))
            };
            edge = edge.cors(CorsLayer::new(cors.expose(EXPOSED)));
        }
        let mut lists = Lists {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            rules: AddressRules::default(),
        };
        if let Some(addresses) = lists.read()? {
            lists.rules = AddressRules::new(addresses);
            edge = edge.addresses(lists.rules.clone());
        }
        if let Some(path) = &self.geo {
            let database = GeoDatabase::read(read(path)?).map_err(|error| wrong(path, error))?;
            let rules = GeoRules::new(database);
            let served = match (&*self.countries, &*self.not_countries) {
                ([], []) => None,
                ([], but) => Some(Countries::but(but)),
                (only, _) => Some(Countries::only(only)),
            };
            let served = served.transpose().map_err(|error| Error::Usage(error.to_string()))?;
            edge = edge.geo(match served {
                Some(countries) => rules.countries(countries),
                None => rules,
            });
        }
        Ok((edge, lists))
    }
}

/// Lists of addresses, and the files that they are in. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    allow: Option<PathBuf>,
    deny: Option<PathBuf>,
    rules: AddressRules,
}

impl Lists {
    /// Reads the files again, and puts all that they hold in force. Whether there are any.
    ///
    /// # Errors
    /// Where one cannot be read or used: nothing has changed then.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        let Some(addresses) = self.read()? else { return Ok(false) };
        self.rules.put(addresses);
        Ok(true)
    }

    /// What the files hold; `None` where none is named.
    fn read(&self) -> Result<Option<Addresses>, Error> {
        let mut lists = Addresses::builder();
        if let Some(path) = &self.allow {
            lists = lists.allow(&text(path)?).map_err(|error| wrong(path, error))?;
        }
        if let Some(path) = &self.deny {
            lists = lists.deny(&text(path)?).map_err(|error| wrong(path, error))?;
        }
        if self.allow.is_none() && self.deny.is_none() {
            return Ok(None);
        }
        let both = |error| Error::Usage(format!("--allow and --deny: {error}"));
        lists.build().map(Some).map_err(both)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|_| wrong(path, "it is no text"))
}

fn wrong(path: &Path, why: impl Display) -> Error {
    Error::Usage(format!("the file {} cannot be used: {why}", path.display()))
}

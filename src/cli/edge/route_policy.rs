//! From what a route of the configuration says to what the edge's layers find on its requests.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use headwater::edge::addresses::BadAddresses;
use headwater::edge::security::{Frames, Loads};
use headwater::edge::tokens::TokensHere;
use headwater::edge::{
    Addresses, Cors, Countries, FixedAnswer, MethodsLayer, Referrers, RoutePolicy, Security,
};
use headwater::proto::config::answer::Answer;
use headwater::proto::config::cors::PageOrigin;
use headwater::proto::config::route::Route;
use headwater::proto::config::text::{List, Network, Verb};
use headwater::proto::config::{Edge as Config, Step, Wrong, clients, cors, security};
use http::{HeaderValue, Method, StatusCode};

use super::super::Error;
use super::super::named::{self, Named};

/// What several routes have in common is read and put together once.
#[derive(Debug, Default)]
pub(super) struct Common {
    addresses: Vec<(clients::Addresses, Addresses)>,
}

/// What a route that is [resolved](headwater::proto::config::Edge::resolved) wants of the layers, with the
/// tokens of its site; `None` where it wants nothing. Reads the files that it names.
pub(super) fn make(
    config: &Route,
    tokens: Option<TokensHere>,
    common: &mut Common,
) -> Result<Option<Arc<RoutePolicy>>, Error> {
    let mut policy = RoutePolicy::default();
    policy.tokens = tokens;
    policy.name = config.name.as_deref().map(Into::into);
    policy.answer = config.answer.as_ref().map(answer).transpose()?;
    policy.methods = config.methods.as_ref().map(|verbs| methods(verbs)).transpose()?;
    policy.cors = config.cors.as_ref().map(cors).transpose()?;
    policy.security = config.security.as_ref().map(security).transpose()?;
    policy.addresses =
        config.addresses.as_ref().map(|lists| common.addresses(lists)).transpose()?;
    policy.countries = config.countries.as_ref().map(countries).transpose()?;
    policy.referrers = config.referrers.as_ref().map(|referrers| {
        Referrers::new(referrers.hosts.iter().map(|host| &**host)).or_missing(referrers.missing)
    });
    let limits = config.limits.as_deref().unwrap_or_default();
    policy.limits = limits.iter().map(|name| (&**name).into()).collect();
    Ok((!policy.is_empty()).then(|| Arc::new(policy)))
}

fn answer(config: &Answer) -> Result<FixedAnswer, Error> {
    let answer = FixedAnswer::new(StatusCode::from_u16(config.status.unwrap_or_default())?);
    let answer = match &config.location {
        Some(location) => answer.location(location),
        None => answer,
    };
    let content_type = HeaderValue::from_str(&config.content_type)?;
    Ok(match &config.body {
        Some(body) => answer.body(body.clone(), content_type),
        None => answer,
    })
}

/// Methods that are let in.
pub(super) fn methods(verbs: &[Verb]) -> Result<MethodsLayer, Error> {
    Ok(MethodsLayer::new(parsed(verbs)?))
}

fn parsed(verbs: &[Verb]) -> Result<Vec<Method>, Error> {
    Ok(verbs.iter().map(|verb| verb.parse()).collect::<Result<_, _>>()?)
}

fn cors(config: &cors::Cors) -> Result<Cors, Error> {
    let made = if config.is_any() {
        Cors::any()
    } else {
        Cors::of(config.origins.iter().map(PageOrigin::to_string))
    };
    let made = made
        .credentials(config.credentials)
        .methods(parsed(&config.methods)?)
        .expose(config.expose.iter().map(|name| &**name))
        .max_age(config.max_age.get());
    Ok(match &config.headers {
        Some(names) => made.headers(names.iter().map(|name| &**name)),
        None => made,
    })
}

fn security(config: &security::Security) -> Result<Security, Error> {
    let mut made = Security::default();
    if let Some(time) = config.hsts {
        made = made.hsts(time.get(), config.hsts_subdomains, config.hsts_preload);
    }
    made = match config.frames {
        Some(security::Frames::SameOrigin) => made.frames(Frames::SameOrigin),
        Some(_) => made.frames(Frames::Deny),
        None => made,
    };
    made = match config.loads {
        Some(security::Loads::CrossOrigin) => made.loads(Loads::CrossOrigin),
        Some(security::Loads::SameSite) => made.loads(Loads::SameSite),
        Some(_) => made.loads(Loads::SameOrigin),
        None => made,
    };
    if let Some(policy) = &config.content_policy {
        made = made.content_policy(HeaderValue::from_str(policy)?);
    }
    if let Some(policy) = &config.referrer_policy {
        made = made.referrer_policy(HeaderValue::from_str(policy)?);
    }
    Ok(made)
}

fn countries(config: &clients::Countries) -> Result<Countries, Error> {
    Ok(match (&config.only, &config.but) {
        (Some(only), _) => Countries::only(only.iter())?,
        (None, but) => Countries::but(but.as_deref().unwrap_or_default())?,
    })
}

impl Common {
    fn addresses(&mut self, config: &clients::Addresses) -> Result<Addresses, Error> {
        if let Some((_, made)) = self.addresses.iter().find(|(one, _)| one == config) {
            return Ok(made.clone());
        }
        let mut lists = Addresses::builder();
        if let Some(allow) = &config.allow {
            lists = lists.allow(&lines(allow))?;
        }
        lists = lists.deny(&lines(&config.deny))?;
        if let Some(path) = &config.allow_file {
            lists = of_file("allow_file", path, |list| lists.allow(list))?;
        }
        if let Some(path) = &config.deny_file {
            lists = of_file("deny_file", path, |list| lists.deny(list))?;
        }
        let made = lists.build()?;
        self.addresses.push((config.clone(), made.clone()));
        Ok(made)
    }
}

/// Each fault of the lists of addresses that routes and policies have: of each file, and of each list whose
/// files can be read.
pub(super) fn look(config: &Config) -> Vec<Error> {
    let lists = listed(config);
    let files = lists
        .iter()
        .flat_map(|(_, one)| [("allow_file", &one.allow_file), ("deny_file", &one.deny_file)]);
    let files: BTreeSet<_> =
        files.filter_map(|(key, file)| file.as_deref().map(|file| (key, file))).collect();
    let mut unread = BTreeSet::new();
    let mut all: Vec<Error> = Vec::new();
    for (key, file) in files {
        if let Err(error) = of_file(key, file, |list| Addresses::builder().allow(list)) {
            unread.insert(file);
            all.push(error.into());
        }
    }
    let is_read = |one: &clients::Addresses| {
        let mut files = [&one.allow_file, &one.deny_file].into_iter().flatten();
        files.all(|file| !unread.contains(&**file))
    };
    let mut common = Common::default();
    for (path, one) in lists.into_iter().filter(|(_, one)| is_read(one)) {
        if let Err(error) = common.addresses(one) {
            all.push(match error.downcast::<BadAddresses>() {
                Ok(bad) => Wrong::with(path.into_iter().chain(at_fault(one, &bad)), bad).into(),
                Err(error) => error,
            });
        }
    }
    all
}

/// The lists of addresses of a configuration, with the way to each.
fn listed(config: &Config) -> Vec<(Vec<Step>, &clients::Addresses)> {
    let sites = config.sites.iter().enumerate().flat_map(|(site, of)| {
        let way = move |at| vec!["site".into(), Step::Item(site), "route".into(), Step::Item(at)];
        of.routes.iter().enumerate().map(move |(at, route)| (way(at), route))
    });
    let policies = config.policies.iter().enumerate();
    let all =
        sites.chain(policies.map(|(at, route)| (vec!["policy".into(), Step::Item(at)], route)));
    all.filter_map(|(mut way, route)| {
        way.push("addresses".into());
        route.addresses.as_ref().map(|lists| (way, lists))
    })
    .collect()
}

/// Which key of lists that contradict each other says what is denied.
fn at_fault(config: &clients::Addresses, bad: &BadAddresses) -> Option<Step> {
    let BadAddresses::Both(both) = bad else { return None };
    let both: Vec<String> = both.first().iter().map(ToString::to_string).collect();
    let allowed = Addresses::builder().allow(&both.join("\n"));
    let alone = allowed.and_then(|lists| lists.deny(&lines(&config.deny))?.build());
    Some(if alone.is_err() { "deny" } else { "deny_file" }.into())
}

fn lines(networks: &List<Network>) -> String {
    let networks: Vec<&str> = networks.iter().map(|network| &**network).collect();
    networks.join("\n")
}

/// Does something with the lines of a file that a key names.
fn of_file<T>(
    key: &'static str,
    path: &Path,
    with: impl FnOnce(&str) -> Result<T, BadAddresses>,
) -> Result<T, Named> {
    let read = || -> Result<T, Named> {
        let text = String::from_utf8(named::read(path)?);
        let text = text.map_err(|_| Named::unfit(path, "this is no text"))?;
        with(&text).map_err(|error| Named::unfit(path, error))
    };
    read().map_err(|error| error.under(key))
}

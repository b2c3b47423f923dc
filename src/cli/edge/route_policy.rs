//! From what a route of the configuration says to what the edge's layers find on its requests.

use std::path::Path;
use std::sync::Arc;

use headwater::edge::security::{Frames, Loads};
use headwater::edge::{
    Addresses, Cors, Countries, FixedAnswer, MethodsLayer, Referrers, RoutePolicy, Security,
};
use headwater::proto::config::answer::Answer;
use headwater::proto::config::cors::PageOrigin;
use headwater::proto::config::route::Route;
use headwater::proto::config::text::{List, Network, Verb};
use headwater::proto::config::{clients, cors, security};
use http::{HeaderValue, Method, StatusCode};

use super::super::Error;
use super::settings::read;

/// What several routes have in common is read and put together once.
#[derive(Debug, Default)]
pub(super) struct Common {
    addresses: Vec<(clients::Addresses, Addresses)>,
}

/// What a route that is [resolved](headwater::proto::config::Edge::resolved) wants of the layers; `None`
/// where it wants nothing. Reads the files that it names.
pub(super) fn make(config: &Route, common: &mut Common) -> Result<Option<Arc<RoutePolicy>>, Error> {
    let mut policy = RoutePolicy::default();
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
            lists = lists.allow(&text(path)?).map_err(|error| of(path, &error))?;
        }
        if let Some(path) = &config.deny_file {
            lists = lists.deny(&text(path)?).map_err(|error| of(path, &error))?;
        }
        let made = lists.build().map_err(|error| format!("addresses: {error}"))?;
        self.addresses.push((config.clone(), made.clone()));
        Ok(made)
    }
}

fn lines(networks: &List<Network>) -> String {
    let networks: Vec<&str> = networks.iter().map(|network| &**network).collect();
    networks.join("\n")
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|_| of(path, &"this is no text"))
}

fn of(path: &Path, error: &dyn std::fmt::Display) -> Error {
    format!("cannot use {}: {error}", path.display()).into()
}

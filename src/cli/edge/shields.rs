//! Upstreams that are shields of the same operator: each is told what this edge answers from its
//! cache, by the names that it knows it by.

use std::collections::BTreeMap;

use headwater::cache::Policy as _;
use headwater::cache::key::host;
use headwater::edge::Hints;
use headwater::edge::hints::HintMetrics;
use headwater::origin::upstream::Origins;
use headwater::proto::config::upstream::{HostOf, Upstream as Config};
use http::{Request, Uri, header};

use super::super::Error;
use super::basis::Basis;
use super::shield::link;
use super::sites::{Pinned, SitePolicy};
use super::upstreams::Upstreams;

/// What is told to each, by its name, with what it was made of.
pub(super) type Shields = BTreeMap<String, (Basis, Hints)>;

/// Begins to tell the shields among `upstreams`; those of `before` that are the same go on. Reads the
/// files that they name. Each has a task, which ends when nobody notes for it any more.
pub(super) fn make(
    upstreams: &Upstreams,
    before: &Shields,
    policy: &SitePolicy,
    metrics: &HintMetrics,
) -> Result<Shields, Error> {
    let mut all = Shields::new();
    for (name, (basis, origins)) in upstreams.iter().filter(|(_, (basis, _))| basis.shield) {
        let known = before.get(name).filter(|(was, _)| was == basis);
        let hints = match known {
            Some((_, hints)) => hints.clone(),
            None => begin(name, basis, origins, policy, metrics)?,
        };
        all.insert(name.clone(), (basis.clone(), hints));
    }
    Ok(all)
}

/// The hints of one shield; what sends them is a task.
fn begin(
    name: &str,
    config: &Config,
    origins: &Origins,
    policy: &SitePolicy,
    metrics: &HintMetrics,
) -> Result<Hints, Error> {
    let mut hints = Hints::builder().metrics(metrics.clone());
    if let Some(secret) = link(config.link_file.as_deref())? {
        hints = hints.link(secret);
    }
    let at = At::new(name, config, origins, policy.clone());
    let home = origins.clone();
    let hints = hints.locate(move |uri, host| at.locate(uri, host));
    let hints = hints.home(move |uri| home.home(uri));
    let (hints, sender) = hints.build(origins.clone());
    tokio::spawn(sender.run());
    Ok(hints)
}

/// Each fault of the secrets by which shields know this edge.
pub(super) fn look(configs: &[Config]) -> Vec<Error> {
    configs.iter().filter_map(|config| link(config.link_file.as_deref()).err()).collect()
}

/// How a shield is asked for what clients ask for.
struct At {
    name: String,
    /// Those of whom it is, where each is told its own host and not what the client said.
    own_hosts: Option<Origins>,
    policy: SitePolicy,
}

impl At {
    fn new(name: &str, config: &Config, origins: &Origins, policy: SitePolicy) -> Self {
        let own_hosts = (config.host == HostOf::Origin).then(|| origins.clone());
        Self { name: name.to_owned(), own_hosts, policy }
    }

    /// As the cache and the router would ask for it; `None` where it goes to other origins.
    fn locate(&self, uri: &Uri, named: &str) -> Option<(String, Uri)> {
        let request = Request::get(uri.clone()).header(header::HOST, named).body(()).ok()?;
        let (mut parts, ()) = request.into_parts();
        self.policy.prepare(&mut parts);
        let target = parts.extensions.get::<Pinned>()?.target(&parts)?;
        if target.shield.as_deref() != Some(self.name.as_str()) {
            return None;
        }
        let authority = match &self.own_hosts {
            // They are called by their URLs.
            Some(origins) => {
                let home: Uri = origins.home(&parts.uri)?.parse().ok()?;
                home.authority()?.to_string()
            }
            None => std::str::from_utf8(host(&parts)).ok()?.to_ascii_lowercase(),
        };
        Some((authority, parts.uri))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use headwater::proto::config::Edge;

    use super::super::sites::Sites;
    use super::super::upstreams;
    use super::*;

    #[test]
    fn a_shield_is_told_what_it_is_asked_for() {
        let text = "server.listen_http = '127.0.0.1:0'\n\
             [[upstream]]\nname = 's'\norigins = ['http://shield:81/', 'http://b']\nshield = true\n\
             [[upstream]]\nname = 't'\norigins = 'http://c'\nshield = true\nhost = 'client'\n\
             [[upstream]]\nname = 'o'\norigins = 'http://d'\n\
             [[upstream]]\nname = 'p'\norigins = ['http://e:1', 'http://f:2']\nshield = true\n\
             choose = 'by_title'\n\
             [[site]]\nhosts = ['one', 'two']\nupstream = 's'\npersonal_parameters = 'viewer'\n\
             [[site.route]]\npath = '/t/'\nupstream = 't'\nrewrite = { from = '/t/', to = '/' }\n\
             [[site.route]]\npath = '/p/'\nupstream = 'p'\n\
             rewrite = { from = '/p/', to = '/' }\n\
             [[site.route]]\npath = '/o/'\nupstream = 'o'\n";
        let config = Edge::parse("edge.toml", text, []).unwrap();
        let parts = upstreams::Parts::default();
        let upstreams = upstreams::make(&config.upstreams, &Upstreams::new(), &parts).unwrap();
        let policy = SitePolicy::new(Sites::new(&config, &upstreams).unwrap());
        let told = |name: &str, uri: &str| {
            let at = At::new(name, &upstreams[name].0, &upstreams[name].1, policy.clone());
            let told = at.locate(&uri.parse().unwrap(), "Two");
            told.map(|(authority, uri)| format!("{authority} {}", uri.path_and_query().unwrap()))
        };
        assert_eq!(told("s", "/a?viewer=me&x=1").as_deref(), Some("shield:81 /a?x=1"));
        assert_eq!(told("t", "http://two/t/a").as_deref(), Some("one /a"));
        // Of those that share, each by its own name.
        let both: std::collections::BTreeSet<_> =
            (0..40).filter_map(|n| told("p", &format!("/p/{n}/a"))).collect();
        let of = |host: &str| both.iter().filter(|one| one.starts_with(host)).count();
        assert!(of("e:1 /") > 0 && of("f:2 /") > 0 && both.len() == 40, "{both:?}");
        for (name, uri) in [("s", "/t/a"), ("s", "/o/a"), ("t", "/a"), ("s", "http://three/a")] {
            assert_eq!(told(name, uri), None, "{name} {uri}");
        }
    }
}

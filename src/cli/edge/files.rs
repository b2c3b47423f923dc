//! The files and variables that a configuration names, and what takes another build of this program, looked at
//! before anything is done with them: at
//! the start, at a reload, and by `--check`, which does nothing else. Each fault is told with the line and
//! the key that name what is at fault.

use headwater::proto::config::{Edge as Config, Places, Wrong, Wrongs};

use super::super::Error;
use super::super::named::Named;
use super::{certificates, route_policy, settings, shield, shields, tokens, trace, upstreams};

/// Reads what is named.
///
/// # Errors
/// All faults, each of a file by itself; those that only several files together have, such as a key that is
/// not a certificate's, where none of them has one alone.
pub(super) fn look(config: &Config, places: &Places) -> Result<(), Wrongs> {
    let found = certificates::look(&config.server)
        .into_iter()
        .chain(upstreams::look(&config.upstreams))
        .chain(shields::look(&config.upstreams))
        .chain(shield::look(&config.shield))
        .chain(tokens::look(&config.sites))
        .chain(settings::geo(&config.geo).err())
        .chain(settings::qlog(&config.server).err().map(Into::into))
        .chain(route_policy::look(config))
        .chain(trace::look(&config.trace))
        .chain(settings::token(&config.operator).err());
    // A file that several name is told of once under each.
    let found = found.flat_map(|error| wrongs(&*error, places)).fold(Vec::new(), |mut all, one| {
        if !all.contains(&one) {
            all.push(one);
        }
        all
    });
    if found.is_empty() { Ok(()) } else { Err(places.wrongs(found)) }
}

/// Where what is at fault is named.
fn wrongs(error: &(dyn std::error::Error + 'static), places: &Places) -> Vec<Wrong> {
    if let Some(wrong) = error.downcast_ref::<Wrong>() {
        return vec![wrong.clone()];
    }
    let named = error.downcast_ref::<Named>();
    let named =
        named.map(|named| places.naming(&named.value, named.key, named)).unwrap_or_default();
    if named.is_empty() { vec![Wrong::with([], error)] } else { named }
}

/// An error of what is made of a configuration, with the line and the key where it is of something that
/// is named there.
pub(super) fn placed(error: Error, places: &Places) -> Error {
    if error.is::<Named>() { places.wrongs(wrongs(&*error, places)).into() } else { error }
}

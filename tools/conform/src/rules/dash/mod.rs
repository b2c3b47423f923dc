//! Rules about MPDs and what they say of their media.

mod document;
mod live;
mod presentation;
mod profiles;
mod schema;
mod sets;
mod timeline;
mod truth;

use crate::rule::Rule;

pub(super) use crate::dash::values::is_date_time;
pub(super) use sets::is_language;

pub(super) const TABLES: &[&[Rule]] = &[
    document::RULES,
    presentation::RULES,
    sets::RULES,
    timeline::RULES,
    truth::RULES,
    profiles::RULES,
    live::RULES,
];

//! Rules about HLS playlists and what they say of their media.

mod delivery;
mod iframes;
mod live;
mod media_playlist;
mod multivariant;
mod rates;
mod renditions;
mod segments;
mod syntax;
mod truth;
mod types;
mod versions;

use crate::rule::Rule;

pub(super) const TABLES: &[&[Rule]] = &[
    syntax::RULES,
    versions::RULES,
    multivariant::RULES,
    renditions::RULES,
    iframes::RULES,
    media_playlist::RULES,
    segments::RULES,
    truth::RULES,
    rates::RULES,
    live::RULES,
    delivery::RULES,
];

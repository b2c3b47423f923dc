//! The numbers of live DASH segments, beside each other: players that switch, and sessions that do, go by
//! them. How a rendition keeps its own from one manifest to the next, `track` knows.

use std::collections::HashMap;

use super::Rendition;

/// Of live renditions that a player switches between, those that were not there before (`carried` says of each
/// whether it was) get the numbers of the first that was, or else of the first.
pub(super) fn alike(renditions: &mut [Rendition], carried: &[bool]) {
    let mut models: HashMap<u32, usize> = HashMap::new();
    for only_carried in [true, false] {
        for (at, rendition) in renditions.iter().enumerate() {
            let counts = !only_carried || carried.get(at) == Some(&true);
            if counts && rendition.track.is_live() && rendition.track.len() > 0 {
                models.entry(rendition.group).or_insert(at);
            }
        }
    }
    for (at, _) in carried.iter().enumerate().filter(|(_, was_there)| !**was_there) {
        let Some((before, [rendition, after @ ..])) = renditions.split_at_mut_checked(at) else {
            continue;
        };
        let model = models.get(&rendition.group).filter(|model| **model != at);
        let model = model.and_then(|model| match model.checked_sub(at + 1) {
            Some(past) => after.get(past),
            None => before.get(*model),
        });
        if let Some(model) = model.filter(|_| rendition.track.is_live()) {
            rendition.track.number_as(&model.track);
        }
    }
}

//! Networks as ranges that do not overlap, so that one binary search finds the longest prefix.

/// What a range of addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Unlisted,
}

/// Where ranges begin, in order, and what each of them is until the next.
#[derive(Debug)]
pub(super) struct Ranges<T> {
    begins: Box<[T]>,
    verdicts: Box<[Verdict]>,
}

/// A number that an address is.
pub(super) trait Number: Copy + Ord {
    /// The next, if there is one.
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl<T: Number> Ranges<T> {
    /// Of networks (first address, last address, verdict), in the order of their first addresses, and the
    /// larger before what is within it.
    pub(super) fn new(networks: impl IntoIterator<Item = (T, T, Verdict)>) -> Self {
        let mut ranges = Vec::new();
        let mut begin = |at: T, verdict: Verdict| {
            // What begins where another began takes its place.
            while ranges.pop_if(|(begun, _): &mut (T, Verdict)| *begun >= at).is_some() {}
            if ranges.last().map_or(Verdict::Unlisted, |(_, last)| *last) != verdict {
                ranges.push((at, verdict));
            }
        };
        // Those that are open: each is within the one before it.
        let mut open: Vec<(T, Verdict)> = Vec::new();
        let every = networks.into_iter().map(Some).chain([None]);
        for network in every {
            // What ends before this one begins leaves what it is within.
            let ends =
                |(last, _): &mut (T, Verdict)| network.is_none_or(|(first, ..)| *last < first);
            while let Some((last, _)) = open.pop_if(ends) {
                let outer = open.last().map_or(Verdict::Unlisted, |(_, verdict)| *verdict);
                if let Some(next) = last.next() {
                    begin(next, outer);
                }
            }
            if let Some((first, last, verdict)) = network {
                begin(first, verdict);
                open.push((last, verdict));
            }
        }
        let (begins, verdicts): (Vec<T>, Vec<Verdict>) = ranges.into_iter().unzip();
        Self { begins: begins.into(), verdicts: verdicts.into() }
    }

    /// What an address is.
    pub(super) fn of(&self, address: T) -> Verdict {
        let after = self.begins.partition_point(|begin| *begin <= address);
        let range = after.checked_sub(1).and_then(|at| self.verdicts.get(at));
        range.copied().unwrap_or(Verdict::Unlisted)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the longest prefix as it is defined.
        #[test]
        fn a_search_finds_the_longest_prefix(
            networks in proptest::collection::btree_map((0u32..64, 24u8..=32), any::<bool>(), 0..24),
            probes in proptest::collection::vec(0u32..300, 1..40),
        ) {
            let last = u32::MAX - 255;
            let networks: std::collections::BTreeMap<Ipv4Net, bool> = networks
                .into_iter()
                .flat_map(|((at, bits), allowed)| [at * 4, last + at * 4].map(|at| (at, bits, allowed)))
                .filter_map(|(at, bits, allowed)| {
                    Some((Ipv4Net::new(Ipv4Addr::from_bits(at), bits).ok()?.trunc(), allowed))
                })
                .collect();
            let ranges = Ranges::new(networks.iter().map(|(network, allowed)| {
                let verdict = if *allowed { Verdict::Allowed } else { Verdict::Denied };
                (network.network().to_bits(), network.broadcast().to_bits(), verdict)
            }));
            for probe in probes.into_iter().flat_map(|probe| [probe, last.saturating_add(probe)]) {
                let address = Ipv4Addr::from_bits(probe);
                let longest = networks
                    .iter()
                    .filter(|(network, _)| network.contains(&address))
                    .max_by_key(|(network, _)| network.prefix_len());
                let verdict = match longest {
                    Some((_, true)) => Verdict::Allowed,
                    Some((_, false)) => Verdict::Denied,
                    None => Verdict::Unlisted,
                };
                prop_assert_eq!(ranges.of(probe), verdict, "{}", address);
            }
        }
    }
}

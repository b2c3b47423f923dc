//! Caching policies over objects of known size: what a request finds, and what goes for it.
//!
//! Each is written as its paper or its reference implementation has it, by bytes: room is made
//! until the new object fits, and queues that are a share of the cache are a share of its bytes.
//! What is larger than the cache passes.

mod disk;
mod list;
mod lru;
mod moka;
mod optimum;
mod ram;
mod s3fifo;
mod wtinylfu;

use crate::traffic::Trace;

/// What a cache of a fixed size decides.
pub trait Policy {
    /// It is so many milliseconds since the trace began.
    fn passes(&mut self, at_ms: u64) {
        let _ = at_ms;
    }

    /// The next request of the trace; says whether it was a hit.
    fn request(&mut self, object: u32, bytes: u32) -> bool;

    /// Bytes written so far: of all that was taken in, and moved.
    fn written(&self) -> u64;
}

/// The policies that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Ours in memory, which is SIEVE.
    Ram,
    /// The same, told by the shield what is worth keeping.
    RamTold,
    /// Ours on disk: admission and readmission of the disk tier.
    Disk,
    Lru,
    S3Fifo,
    WTinyLfu,
    /// moka, and moka where each miss is looked for four times.
    Moka,
    MokaTold,
    /// Who knows the future, for hits.
    BestHits,
    /// Who knows the future, for bytes.
    BestBytes,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Ram,
        Self::RamTold,
        Self::Disk,
        Self::Lru,
        Self::S3Fifo,
        Self::WTinyLfu,
        Self::Moka,
        Self::MokaTold,
        Self::BestHits,
        Self::BestBytes,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ram => "RAM (SIEVE)",
            Self::RamTold => "RAM, retention",
            Self::Disk => "disk",
            Self::Lru => "LRU",
            Self::S3Fifo => "S3-FIFO",
            Self::WTinyLfu => "W-TinyLFU",
            Self::Moka => "moka",
            Self::MokaTold => "moka, 4 looks",
            Self::BestHits => "optimum, hits",
            Self::BestBytes => "optimum, bytes",
        }
    }

    /// A cache of so many bytes before a trace.
    pub fn build(self, capacity: u64, trace: &Trace) -> Box<dyn Policy> {
        let objects = trace.objects.len();
        match self {
            Self::Ram => Box::new(ram::Ram::new(capacity)),
            Self::RamTold => Box::new(ram::Told::new(capacity, trace)),
            Self::Disk => Box::new(disk::Disk::new(capacity, objects)),
            Self::Lru => Box::new(lru::Lru::new(capacity, objects)),
            Self::S3Fifo => Box::new(s3fifo::S3Fifo::new(capacity, objects)),
            Self::Moka => Box::new(moka::Moka::new(capacity, 1)),
            Self::MokaTold => Box::new(moka::Moka::new(capacity, 4)),
            Self::WTinyLfu => Box::new(wtinylfu::WTinyLfu::new(capacity, trace)),
            Self::BestHits => Box::new(optimum::BestHits::new(capacity, trace)),
            Self::BestBytes => Box::new(optimum::BestBytes::new(capacity, trace)),
        }
    }
}

/// An object's number as a hash.
fn hash(object: u32) -> u128 {
    let mut random = crate::traffic::Random::new(u64::from(object));
    u128::from(random.next()) << 64 | u128::from(random.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_bench_traces::traffic::{Object, Part, Request, Rung, Stored};

    /// A trace over objects of these sizes.
    pub(super) fn trace(sizes: &[u32], requests: &[u32]) -> Trace {
        let part = Part::Init;
        let object = |title| Object { title, rung: Rung::SOUND, part };
        let objects =
            (0..).zip(sizes).map(|(n, &bytes)| Stored { object: object(n), bytes, segments: None });
        let requests = requests.iter().map(|&object| Request { at_ms: 0, object, starts: false });
        Trace { name: "", objects: objects.collect(), requests: requests.collect() }
    }

    /// Which requests were hits, as ones and zeros.
    pub(super) fn hits(kind: Kind, capacity: u64, trace: &Trace) -> String {
        let mut policy = kind.build(capacity, trace);
        let hit = |request: &Request| {
            let bytes = trace.objects[request.object as usize].bytes;
            if policy.request(request.object, bytes) { '1' } else { '0' }
        };
        trace.requests.iter().map(hit).collect()
    }

    #[test]
    fn what_fits_is_fetched_once_by_all() {
        let trace = trace(&[10, 20, 30], &[0, 1, 2, 0, 1, 2, 2, 1, 0]);
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Disk) {
            assert_eq!(hits(kind, 100, &trace), "000111111", "{kind:?}");
        }
    }

    #[test]
    fn what_does_not_fit_passes_and_drives_nothing_out() {
        let trace = trace(&[10, 200], &[0, 1, 0, 1, 0]);
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Disk) {
            assert_eq!(hits(kind, 100, &trace), "00101", "{kind:?}");
        }
    }
}

//! What the cache's tiers decide by, as it is: the source of [`sieve`], [`admission`] and [`evict`] is
//! the cache's. The last one knows entries of an index and their places; those here hold no more
//! than it needs.

#[path = "../../../crates/cache/src/disk/admission.rs"]
#[allow(dead_code, reason = "the tier needs all of it")]
pub(crate) mod admission;
#[path = "../../../crates/cache/src/disk/evict.rs"]
pub(crate) mod evict;
#[path = "../../../crates/cache/src/store/keep.rs"]
#[allow(dead_code, reason = "the tier needs all of it")]
pub(crate) mod keep;
#[path = "../../../crates/cache/src/store/sieve.rs"]
#[allow(dead_code, reason = "the tier needs all of it")]
pub(crate) mod sieve;

pub(crate) mod index {
    //! An entry, as the tier's index has them.

    use super::record::Place;

    /// How often an entry is seen to be asked for, at most.
    pub(crate) const MAX_HEAT: u8 = 3;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Entry {
        pub(crate) hash: u128,
        /// The object, here.
        pub(crate) variant: u32,
        pub(crate) at: Place,
        pub(crate) len: u32,
        pub(crate) heat: u8,
    }
}

pub(crate) mod record {
    //! A place on disk.

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Place {
        pub(crate) region: u32,
        pub(crate) offset: u32,
    }
}

//! The RFC 9111 cache engine of Headwater: policy, fill, storage, as a tower layer

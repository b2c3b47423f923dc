//! Pooled clients to upstreams.

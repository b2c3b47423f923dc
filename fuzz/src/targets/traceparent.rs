//! `traceparent` (W3C Trace Context §3.2): what is read is written as it was meant.

use headwater_edge::trace::TraceContext;

/// The standard's own, one of a later version, and none.
pub(crate) const SEEDS: &[&str] = &[
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-comes",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
];

/// Reads the input as a field's value.
pub(crate) fn run(input: &[u8]) {
    let Some(context) = TraceContext::parse(input) else { return };
    assert!(context.trace != 0 && context.span != 0);
    assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
}

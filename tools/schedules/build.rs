//! Builds the cache's source with stand-ins for its locks and atomics.

fn main() {
    println!("cargo::rustc-cfg=shuttle");
}

//! The client of h3 as the listener is tested with it, over the transport of our own client.

pub(crate) use headwater_net::client::{Opener, Transport};

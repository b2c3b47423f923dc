//! What the roles of Headwater say to each other across machines, as plain data: how a node is
//! configured, and what an edge tells its shields of the sessions it sees.
//!
//! Everything here is pure: it parses, checks and writes, without sockets, files or clocks, so
//! that an edge, a shield, a control plane and a test read the same bytes the same way.

pub mod cmcd;
pub mod config;
pub mod hints;

//! What the roles of Headwater say to each other across machines, as plain data: how a node is
//! configured, what an edge tells its shields of the sessions it sees, and what it tells of them else.
//!
//! Everything here is pure: it parses, checks and writes, without sockets, files or clocks, so
//! that an edge, a shield, a control plane and a test read the same bytes the same way.

pub mod cmcd;
pub mod config;
pub mod hints;
pub mod session;

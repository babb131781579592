//! Workers: one thread a core, each with its own runtime, sockets and connections.

pub mod mailbox;
pub mod worker;

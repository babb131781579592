//! Workers: one thread a core, each with its own runtime, sockets and connections.
//!
//! Nothing is parsed or defaulted here: what a request may do was compiled into the generation.

mod behind;
pub mod connection;
pub mod desk;
pub mod dispatch;
pub mod h1;
pub mod h1_body;
mod h1_head;
pub mod h1_output;
pub mod h1_write;
mod h2;
pub mod listener;
pub mod mailbox;
mod proxy_protocol;
pub mod resident;
pub mod snapshot;
pub mod tls;
pub mod worker;

#[cfg(test)]
mod tests;

//! The kernel, through safe crates: sockets and what moves bytes over them.

pub mod accounts;
pub mod beneath;
pub mod handover;
pub mod peek;
pub mod shortage;
pub mod socket;
pub mod temporary;
pub mod tls;
pub mod transport;

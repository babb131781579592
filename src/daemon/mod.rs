//! The control plane: one thread that starts everything, replaces it and ends it.

mod action;
pub mod control;
pub mod event;
mod log_file;
mod logging;
mod prober;
mod signals;
mod sinks;
mod systemd;
mod watcher;
mod workers;

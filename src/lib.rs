//! An HTTP server and reverse proxy run by one TOML file.
//!
//! Find it in under a minute:
//! - the control loop is `daemon::run`,
//! - the worker loop `server::worker::run`,
//! - the connection loop `server::h1::serve`,
//! - the life of a request `server::dispatch::dispatch`.
//!
//! A file imports only from lower floors or its own folder:
//!
//! ```text
//!  7  main.rs · cli/               argv in, exit code out
//!  6  daemon/                      control plane: signals, watch, reload, drain, workers
//!  5  config/     │  server/       TOML → Generation  │  worker loop, connection loop, dispatch
//!  4  generation.rs                one compiled configuration, immutable, numbered
//!  3  routing/                     host + path + method → Route { chain, handler }
//!  2  middleware/ │  handlers/     the open set        │  the closed set
//!  1  exchange/   │  build/        run-time contracts  │  load-time contracts
//!  0  http/ (no I/O) │ telemetry/ │ clock.rs │ sys/
//! ```

pub mod build;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod exchange;
pub mod generation;
pub mod handlers;
pub mod http;
pub mod middleware;
pub mod routing;
pub mod server;
pub mod sys;
pub mod telemetry;

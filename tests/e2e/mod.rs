//! The real binary, one behaviour a test.

mod acme;
mod connections;
mod container;
mod control_socket;
mod drain;
mod examples;
mod exhaustion;
mod health;
mod http2;
mod limits;
mod logging;
mod metrics;
mod middleware;
mod proxy;
mod proxy_protocol;
mod reload;
mod serve;
mod signals;
mod start;
mod static_files;
mod tls;
mod upgrade;

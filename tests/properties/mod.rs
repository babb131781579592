//! What must hold for every input, against oracles too simple to be wrong.

mod accept;
mod conditional;
mod configuration;
mod control;
mod fuzz;
mod range;
mod request_head;
mod routes;

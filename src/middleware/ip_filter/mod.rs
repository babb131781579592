//! `ip_filter`: who may come, by address.

mod ranges;
mod settings;

pub(super) use settings::KIND;

use std::net::IpAddr;

use ranges::{Ranges, Verdict};

use crate::exchange::{Exchange, Flow, Middleware, Response, Why};
use crate::http::StatusCode;

/// Refuses addresses.
#[derive(Debug)]
struct IpFilter {
    networks: Networks,
    status: StatusCode,
}

/// What is said of networks. The smallest one that holds an address decides.
#[derive(Debug)]
struct Networks {
    v4: Ranges,
    v6: Ranges,
    /// What holds for an address that is in none of them.
    otherwise: Verdict,
}

impl Middleware for IpFilter {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        match self.networks.verdict(x.client_ip) {
            Verdict::Allow => Flow::Continue,
            Verdict::Deny => Flow::Respond(Response::error(self.status, Why::Refused)),
        }
    }
}

impl Networks {
    fn verdict(&self, ip: IpAddr) -> Verdict {
        let found = match ip.to_canonical() {
            IpAddr::V4(v4) => self.v4.find(u128::from(v4.to_bits())),
            IpAddr::V6(v6) => self.v6.find(v6.to_bits()),
        };
        found.unwrap_or(self.otherwise)
    }
}

#[cfg(test)]
mod tests;

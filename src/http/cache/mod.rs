//! What RFC 9111 says a shared cache may keep, for how long, and for whom: fields and seconds in,
//! decisions out.
//!
//! ```text
//!  request ─▶ directives ─▶ reuse ◀─ freshness ◀─ what is stored ◀─ storing ◀─ response
//!                 vary ──────┘                        ▲ validation ◀─ a 304
//!                                                     └ invalidation ◀─ an unsafe method
//! ```
//!
//! Where the RFC leaves a choice, the safer one is taken: what is broken counts as stale, what is
//! said twice counts in its stricter reading.

pub mod directives;
pub mod freshness;
pub mod invalidation;
pub mod reuse;
pub mod status;
pub mod storing;
pub mod validation;
pub mod vary;

pub use directives::{RequestDirectives, ResponseDirectives};
pub use freshness::{Lifetime, Policy};
pub use reuse::{Grace, Reuse};
pub use status::CacheStatus;
pub use storing::Refusal;

/// The longest time that counts, in seconds: 2³¹, as RFC 9111 §1.2.2 has it.
pub const SECONDS_MAX: u64 = 1 << 31;

/// Non-negative whole seconds (RFC 9111 §1.2.2); `None` if it is anything else.
fn seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut seconds = 0_u64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        let next = seconds.saturating_mul(10).saturating_add(u64::from(digit));
        seconds = next.min(SECONDS_MAX);
    }
    Some(seconds)
}

#[cfg(test)]
mod tests;

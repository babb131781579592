//! Who guesses passwords is made to wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::build::Rate;
use crate::middleware::request_key::counted;

/// The failures of every client, kept across reloads.
///
/// A try is charged before it is looked at and given back if it was good: who tries a thousand
/// times at once has no more tries than one who does so in turn. Touched only by who brings
/// something to be verified, never by those whose password is known to be good.
#[derive(Debug, Default)]
pub(super) struct Guard {
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    /// When all that was charged is paid off (the generic cell rate algorithm).
    owed: HashMap<IpAddr, Instant>,
    /// Before this nobody is looked for who has waited: looking costs a millisecond.
    next_sweep: Option<Instant>,
}

/// How long between two sweeps; arbitrary, and far less than anyone waits.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many clients are remembered: 10 MiB at most. When there are more, those who have waited
/// are forgotten, and failing that the one met first.
const CLIENTS_MAX: usize = 100_000;

/// A client has used up its failures; it may try again after this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

impl Guard {
    /// Charges a try of this client, of whom `failures` may fail. Whether another client had to
    /// be forgotten for it comes back with it.
    pub(super) fn charge(
        &self,
        client: IpAddr,
        failures: Rate,
        now: Instant,
    ) -> Result<bool, Wait> {
        let mut clients = self.lock();
        let client = counted(client);
        let interval = failures.per / failures.count.max(1);
        let owed = clients.owed.get(&client).copied().unwrap_or(now).max(now);
        let next = owed + interval;
        let wait = next.saturating_duration_since(now + failures.per);
        if !wait.is_zero() {
            return Err(Wait(wait));
        }
        let full = clients.owed.len() >= CLIENTS_MAX && !clients.owed.contains_key(&client);
        let forgotten = full && clients.make_room(now);
        clients.owed.insert(client, next);
        Ok(forgotten)
    }

    /// Gives a try back: it was good.
    pub(super) fn refund(&self, client: IpAddr, failures: Rate) {
        let mut clients = self.lock();
        let interval = failures.per / failures.count.max(1);
        if let Some(owed) = clients.owed.get_mut(&counted(client))
            && let Some(less) = owed.checked_sub(interval)
        {
            *owed = less;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    /// Forgets clients that have waited, or else one that has not: whether it was so.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.next_sweep.is_none_or(|next| next <= now) {
            self.next_sweep = Some(now + SWEEP_EVERY);
            self.owed.retain(|_, owed| *owed > now);
        }
        if self.owed.len() < CLIENTS_MAX {
            return false;
        }
        let met = self.owed.keys().next().copied();
        met.is_some_and(|met| self.owed.remove(&met).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_are_used_up_and_come_back() {
        let guard = Guard::default();
        let (client, rate, now) = (ip("192.0.2.1"), rate("3/m"), clock::now());
        for _ in 0..3 {
            assert_eq!(guard.charge(client, rate, now), Ok(false));
        }
        let second = Duration::from_secs(1);
        assert_eq!(guard.charge(client, rate, now), Err(Wait(20 * second)));
        // Asking in vain costs nothing.
        assert_eq!(guard.charge(client, rate, now), Err(Wait(20 * second)));
        assert_eq!(guard.charge(ip("192.0.2.2"), rate, now), Ok(false));
        assert!(guard.charge(client, rate, now + 19 * second).is_err());
        assert!(guard.charge(client, rate, now + 20 * second).is_ok());
        assert!(guard.charge(client, rate, now + 20 * second).is_err());
        guard.refund(client, rate);
        assert!(guard.charge(client, rate, now + 20 * second).is_ok());
    }

    #[test]
    fn a_site_of_ipv6_is_one_client() {
        let guard = Guard::default();
        let (rate, now) = (rate("1/m"), clock::now());
        assert!(guard.charge(ip("2001:db8::1"), rate, now).is_ok());
        assert!(guard.charge(ip("2001:db8::2"), rate, now).is_err());
        assert!(guard.charge(ip("2001:db8:0:1::1"), rate, now).is_ok());
        assert!(guard.charge(ip("::ffff:192.0.2.1"), rate, now).is_ok());
        assert!(guard.charge(ip("192.0.2.1"), rate, now).is_err());
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let guard = Guard::default();
        let (rate, now) = (rate("1/m"), clock::now());
        let client = |n: u32| IpAddr::from(n.to_be_bytes());
        let mut forgotten = 0;
        for n in 0..u32::try_from(CLIENTS_MAX).unwrap() + 5 {
            forgotten += u32::from(guard.charge(client(n), rate, now).unwrap());
        }
        assert_eq!(forgotten, 5);
        assert_eq!(guard.lock().owed.len(), CLIENTS_MAX);
        // Those who have waited make room.
        let later = now + Duration::from_mins(2);
        assert_eq!(guard.charge(client(u32::MAX), rate, later), Ok(false));
        assert_eq!(guard.lock().owed.len(), 1);
    }
}

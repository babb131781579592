//! A store that many daemons share, so that a limit is one for all of them: Redis, or whatever
//! speaks as it does.
//!
//! A request is one script and one round trip. Each worker has a connection of its own, on which
//! requests are pipelined and which is opened again by itself when it breaks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, Script};

use super::gcra::{Quota, Verdict};
use crate::clock;
use crate::exchange::WorkerLocals;

/// The same arithmetic as in `gcra`, by the clock of the store: daemons need not agree on the
/// time. Times are microseconds; a bucket is forgotten when it is full. What is less than a
/// microsecond is the rounding of numbers that large.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local interval, fill, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, now)
        local after = full_at + cost * interval
        local wait = after - now - fill
        if wait >= 1 then
            after = full_at
        else
            wait = 0
            redis.call('SET', KEYS[1], string.format('%.3f', after),
                'PX', math.max(1, math.ceil((after - now) / 1000)))
        end
        local full_in = after - now
        local remaining = math.floor((fill - full_in) / interval + 0.001)
        return {math.ceil(wait), math.max(0, remaining), math.ceil(full_in)}
        ",
    )
});

/// A store that does not answer is asked again after this; in between, requests do without it.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// How long opening a connection may take. The requests that wait for it give up before.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a store is. One for each address, whichever limits and generations use it.
pub(super) struct Store {
    client: Client,
}

/// What one worker has to do with stores.
#[derive(Default)]
struct Links(RefCell<HashMap<usize, Rc<Link>>>);

/// A worker's connection to a store.
struct Link {
    manager: ConnectionManager,
    store: Weak<Store>,
    /// It did not answer; until then it is not asked again.
    down_until: Cell<Option<Instant>>,
}

/// Why a store gave no answer.
#[derive(Debug)]
pub(super) enum StoreError {
    /// It did not answer a moment ago.
    Down,
    /// It does not answer, or not with what was asked for.
    Failed(String),
}

impl Store {
    /// The store at this address: `redis://[user:password@]host[:port][/database]`, or
    /// `redis+unix:///path`.
    ///
    /// # Errors
    /// It is no address of a store; why, without the password.
    pub(super) fn new(address: &str) -> Result<Self, String> {
        let info = address.into_connection_info().map_err(words)?;
        let client = Client::open(info).map_err(words)?;
        Ok(Self { client })
    }

    /// Asks for a request of this key. The answer comes no later than `timeout`.
    pub(super) fn ask(
        self: &Arc<Self>,
        locals: &WorkerLocals,
        key: Vec<u8>,
        quota: Quota,
        timeout: Duration,
    ) -> impl Future<Output = Result<Verdict, StoreError>> + use<> {
        let link = locals.keep::<Links>().of(self);
        async move {
            let link = link?;
            let now = clock::now();
            if link.down_until.get().is_some_and(|until| now < until) {
                return Err(StoreError::Down);
            }
            // Should it be down, the others do not wait with this one.
            let was_down = link.down_until.get().is_some();
            if was_down {
                link.down_until.set(Some(now + ASKED_AGAIN));
            }
            let asked = tokio::time::timeout(timeout, ask(link.manager.clone(), &key, quota));
            let answer = match asked.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(words(error)),
                Err(_elapsed) => Err(format!("no answer within {} ms", timeout.as_millis())),
            };
            let down_until = answer.is_err().then(|| clock::precise_now() + ASKED_AGAIN);
            link.down_until.set(down_until);
            answer.map_err(StoreError::Failed)
        }
    }
}

async fn ask(
    mut manager: ConnectionManager,
    key: &[u8],
    quota: Quota,
) -> Result<Verdict, redis::RedisError> {
    let micros = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6;
    let (wait, remaining, full_in): (u64, u64, u64) = SCRIPT
        .key(key)
        .arg(micros(quota.interval))
        .arg(micros(quota.fill()))
        .arg(quota.cost)
        .invoke_async(&mut manager)
        .await?;
    Ok(Verdict {
        wait: wait.saturating_mul(1_000),
        remaining,
        full_in: full_in.saturating_mul(1_000),
    })
}

impl Links {
    /// The connection to a store; opened when it is first asked. Those to stores that no
    /// configuration has any more are closed.
    fn of(&self, store: &Arc<Store>) -> Result<Rc<Link>, StoreError> {
        let place = Arc::as_ptr(store).addr();
        let mut links = self.0.borrow_mut();
        if let Some(link) = links.get(&place)
            && link.store.strong_count() > 0
        {
            return Ok(Rc::clone(link));
        }
        links.retain(|_, link| link.store.strong_count() > 0);
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(ASKED_AGAIN);
        let manager = ConnectionManager::new_lazy_with_config(store.client.clone(), config)
            .map_err(|error| StoreError::Failed(words(error)))?;
        let link = Rc::new(Link {
            manager,
            store: Arc::downgrade(store),
            down_until: Cell::new(None),
        });
        links.insert(place, Rc::clone(&link));
        Ok(link)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn words(error: redis::RedisError) -> String {
    error.to_string()
}

impl fmt::Debug for Store {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

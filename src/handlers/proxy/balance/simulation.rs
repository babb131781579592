//! One endpoint ten times slower than the others: what each algorithm makes of it.
//!
//! Simulated, so it repeats to the microsecond: requests come at random (seeded) times whatever
//! becomes of those before them; each endpoint answers eight at a time and lets the rest wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::peak_ewma::Latency;
use super::random::Random;
use super::testing::Endpoints;
use super::{Affinity, Algorithm, Turns};

const REQUESTS: usize = 40_000;

/// Microseconds an answer takes, by endpoint.
const SERVICE_US: [u64; 4] = [10_000, 10_000, 10_000, 100_000];

/// How many an endpoint answers at a time.
const AT_A_TIME: usize = 8;

/// Between two requests on average: 312 a second. In its turn the slow endpoint gets 78 of them,
/// and could take 80.
const BETWEEN_US: u64 = 3_200;

/// The sorted latencies of all requests, in microseconds.
fn simulate(algorithm: &Algorithm) -> Vec<u64> {
    let random = Random::new(1);
    let turns = Turns::new(SERVICE_US.len(), 0);
    let mut endpoints = Endpoints::weighted(&[1; SERVICE_US.len()]);
    let latencies: [Latency; SERVICE_US.len()] = Default::default();
    let mut waiting: [VecDeque<u64>; SERVICE_US.len()] = Default::default();
    // When an answer is done, where, and when its request came.
    let mut under_way: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    let mut taken = Vec::with_capacity(REQUESTS);
    let mut next_arrival = 0;
    for _ in 0..2 * REQUESTS {
        let next_end = under_way.peek().map_or(u64::MAX, |Reverse((end, ..))| *end);
        let ended = next_end <= next_arrival || taken.len() + in_flight(&endpoints) >= REQUESTS;
        let now;
        let (index, starts) = if ended {
            let Some(Reverse((end, index, came))) = under_way.pop() else {
                break;
            };
            now = end;
            taken.push(end - came);
            latencies[index].observe(Duration::from_micros(end - came), end / 1_000);
            endpoints.0[index].active -= 1;
            (index, waiting[index].pop_front())
        } else {
            now = next_arrival;
            // Twice the mean at most, evenly: bursts, but no endless ones.
            next_arrival += random.below(2 * BETWEEN_US);
            for (own, latency) in endpoints.0.iter_mut().zip(&latencies) {
                own.latency = latency.at(now / 1_000);
            }
            let index = turns
                .next(algorithm, &endpoints, &Affinity::default())
                .unwrap();
            endpoints.0[index].active += 1;
            let busy = endpoints.0[index].active as usize > AT_A_TIME;
            if busy {
                waiting[index].push_back(now);
            }
            (index, (!busy).then_some(now))
        };
        if let Some(came) = starts {
            under_way.push(Reverse((now + SERVICE_US[index], index, came)));
        }
    }
    assert_eq!(taken.len(), REQUESTS);
    taken.sort_unstable();
    taken
}

fn in_flight(endpoints: &Endpoints) -> usize {
    endpoints.0.iter().map(|own| own.active as usize).sum()
}

/// Milliseconds that so many in a hundred stay below.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let micros = sorted[sorted.len() * percent / 100];
    f64::from(u32::try_from(micros).unwrap()) / 1_000.0
}

#[test]
fn with_one_endpoint_ten_times_slower_the_least_loaded_algorithms_keep_the_tail_short() {
    let algorithms = [
        ("round_robin", Algorithm::RoundRobin),
        ("random_two", Algorithm::RandomTwo),
        ("least_connections", Algorithm::LeastConnections),
        ("peak_ewma", Algorithm::PeakEwma),
    ];
    println!("one of four endpoints ten times slower, 312 requests a second, {REQUESTS} of them");
    println!("{:20} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "mean ms");
    let tails = algorithms.map(|(name, algorithm)| {
        let sorted = simulate(&algorithm);
        let mean = sorted.iter().sum::<u64>() / sorted.len() as u64 / 1_000;
        let tail = percentile(&sorted, 99);
        println!(
            "{name:20} {:9.1} {tail:9.1} {mean:9}",
            percentile(&sorted, 50)
        );
        tail
    });
    let [round_robin, random_two, least_connections, peak_ewma] = tails;
    assert!(peak_ewma <= least_connections, "{tails:?}");
    assert!(least_connections <= random_two, "{tails:?}");
    assert!(random_two < round_robin, "{tails:?}");
    assert!(2.0 * peak_ewma < round_robin, "{tails:?}");
}

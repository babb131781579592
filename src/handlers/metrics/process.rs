//! What the kernel says of the process, under the names that every exporter uses.

use std::fmt;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use rustix::process::{Resource, getrlimit};

use crate::clock;

/// What the kernel says of the process. What it does not say is left out.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
    processor: f64,
    resident: Option<i64>,
    virtual_memory: Option<i64>,
    open_files: Option<i64>,
    open_files_max: Option<i64>,
}

impl Process {
    /// Reads a few files of `/proc`, which never wait for a disk.
    pub(super) fn read(uptime: Duration) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limit = getrlimit(Resource::Nofile).current;
        Self {
            started: clock::unix_now().saturating_sub(uptime).as_secs_f64(),
            processor: clock::processor_time().as_secs_f64(),
            resident: kibibytes(&status, "VmRSS:"),
            virtual_memory: kibibytes(&status, "VmSize:"),
            // The descriptor that reads the folder is one of them, and is left out.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .and_then(|files| i64::try_from(files.count().saturating_sub(1)).ok()),
            open_files_max: limit.and_then(|limit| i64::try_from(limit).ok()),
        }
    }
}

/// The bytes that a line of `/proc/self/status` tells: `VmRSS:    12345 kB`.
fn kibibytes(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor(
                "process_cpu_seconds",
                "Processor time spent.",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&self.processor, None)?;
        encoder
            .encode_descriptor(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&self.started)?;
        for (name, help, number) in [
            (
                "process_resident_memory_bytes",
                "Memory that is in use.",
                self.resident,
            ),
            (
                "process_virtual_memory_bytes",
                "Addresses that are in use.",
                self.virtual_memory,
            ),
            (
                "process_open_fds",
                "File descriptors that are open.",
                self.open_files,
            ),
            (
                "process_max_fds",
                "File descriptors that may be open.",
                self.open_files_max,
            ),
        ] {
            if let Some(number) = number {
                encoder
                    .encode_descriptor(name, help, None, MetricType::Gauge)?
                    .encode_gauge(&number)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_status_is_read_in_bytes() {
        let status = "VmSize:\t  2048 kB\nVmRSS:\t     7 kB\nThreads:\t3\nVmPin:\t x kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(7 * 1024));
        assert_eq!(kibibytes(status, "VmSize:"), Some(2048 * 1024));
        for none in ["VmSwap:", "Threads:", "VmPin:"] {
            assert_eq!(kibibytes(status, none), None);
        }
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let process = Process::read(Duration::from_secs(1));
        assert!(process.resident.is_some_and(|bytes| bytes > 100_000));
        assert!(process.virtual_memory >= process.resident);
        assert!(process.open_files.is_some_and(|files| files >= 3));
        assert!(process.started > 1e9);
    }
}

//! What a worker has written and not yet handed over.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::build::Sink;
use crate::clock;
use crate::exchange::{Deadline, Flush, WorkerLocals};
use crate::http::date;

/// A batch is handed over when it is this long: some fifty lines, so that the cost of handing
/// over is shared, and a quarter of what a pipe takes at once.
const BATCH_BYTES: usize = 16 << 10;
/// Or when its first line is this old: whoever follows the log sees no delay.
const BATCH_AGE: Duration = Duration::from_millis(100);
/// The buffer of a worker that wrote a huge line is given back above this.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// The batches of one worker, one a sink.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    batches: RefCell<Vec<Batch>>,
    /// Set while there is something to hand over.
    deadline: OnceCell<Deadline>,
    stamp: Cell<Option<Stamp>>,
}

#[derive(Debug)]
struct Batch {
    sink: Arc<dyn Sink>,
    lines: Vec<u8>,
}

/// The time as lines show it. Kept, because many lines are written in the same millisecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    unix: Duration,
    /// `2000-10-10T13:55:36.123Z`
    pub(super) rfc3339: [u8; 24],
    /// `10/Oct/2000:13:55:36 +0000`
    pub(super) clf: [u8; 26],
}

impl Stamp {
    fn new(unix: Duration) -> Self {
        Self {
            unix,
            rfc3339: date::rfc3339_bytes(unix),
            clf: date::clf(unix.as_secs()),
        }
    }
}

impl Buffers {
    /// Those of this worker.
    pub(super) fn of(locals: &WorkerLocals) -> Rc<Self> {
        let buffers = locals.keep::<Self>();
        if buffers.deadline.get().is_none() {
            buffers.deadline.get_or_init(|| locals.deadlines.register());
            let flushed: Rc<dyn Flush> = Rc::<Self>::clone(&buffers);
            locals.on_flush(&flushed);
        }
        buffers
    }

    /// Has a line written (without its end), and hands the batch over if it is long enough.
    pub(super) fn line(&self, sink: &Arc<dyn Sink>, write: impl FnOnce(&Stamp, &mut Vec<u8>)) {
        let stamp = self.stamp();
        let mut batches = self.batches.borrow_mut();
        let at = batches
            .iter()
            .position(|batch| Arc::ptr_eq(&batch.sink, sink));
        let at = at.unwrap_or_else(|| {
            batches.push(Batch {
                sink: Arc::clone(sink),
                lines: Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 4),
            });
            batches.len() - 1
        });
        let Some(batch) = batches.get_mut(at) else {
            return;
        };
        if batch.lines.is_empty()
            && let Some(deadline) = self.deadline.get()
        {
            deadline.set(BATCH_AGE);
        }
        write(&stamp, &mut batch.lines);
        batch.lines.push(b'\n');
        if batch.lines.len() >= BATCH_BYTES {
            batch.hand_over();
        }
    }

    fn stamp(&self) -> Stamp {
        let unix = clock::unix_now();
        match self.stamp.get() {
            Some(stamp) if stamp.unix == unix => stamp,
            _ => {
                let stamp = Stamp::new(unix);
                self.stamp.set(Some(stamp));
                stamp
            }
        }
    }
}

impl Batch {
    fn hand_over(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        self.sink.write(&self.lines);
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES_MAX);
    }
}

impl Flush for Buffers {
    fn flush(&self) {
        let mut batches = self.batches.borrow_mut();
        batches.iter_mut().for_each(Batch::hand_over);
        // Sinks that no configuration writes to any more are let go.
        batches.retain(|batch| Arc::strong_count(&batch.sink) > 1);
        if let Some(deadline) = self.deadline.get() {
            deadline.clear();
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.batches.get_mut().iter_mut().for_each(Batch::hand_over);
    }
}

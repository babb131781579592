//! What the cache drops when it is full, and what reading waits for.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rustix::io::Errno;

use super::super::cache::{BYTES_MAX, ENTRIES_MAX, FileCache, OPEN_FILES_MAX};
use super::super::content::{ReadError, read};
use super::super::representation::{Content, Identity, Representation, Resource};
use super::super::settings::Presentation;
use super::*;
use crate::exchange::BlockingPool;
use crate::exchange::testing::block_on;

fn resource(content: Content) -> Rc<Resource> {
    let metadata = std::fs::metadata("/").unwrap();
    let presentation = Presentation {
        cache_control: None,
        charset: "".into(),
        etag: false,
        precompressed: Vec::new(),
    };
    let identity = Identity::of(&metadata);
    Rc::new(Resource {
        plain: Representation::new(identity, content, b"a", None, &presentation),
        coded: Vec::new(),
    })
}

fn in_memory(size: usize) -> Rc<Resource> {
    resource(Content::Memory(Bytes::from(vec![0; size])))
}

fn opened() -> Rc<Resource> {
    let file = File::open("/").unwrap();
    resource(Content::Open(Arc::new(file), 1 << 20))
}

/// A cache, and which of the numbered paths it has.
struct Filled {
    cache: FileCache,
    now: Instant,
    workers: usize,
}

impl Filled {
    fn new(workers: usize) -> Self {
        Self {
            cache: FileCache::default(),
            now: clock::now(),
            workers,
        }
    }

    fn insert(&self, path: usize, resource: &Rc<Resource>) {
        let path = path.to_string();
        let workers = self.workers;
        self.cache
            .insert(1, path.as_bytes(), resource, self.now, workers);
    }

    fn has(&self, path: usize) -> bool {
        let path = path.to_string();
        self.cache.fresh(1, path.as_bytes(), self.now).is_some()
    }
}

#[test]
fn bytes_entries_and_open_files_are_bounded_for_all_workers_together() {
    let workers = 4;
    let filled = Filled::new(workers);
    let big = in_memory(1 << 20);
    for path in 0..200 {
        filled.insert(path, &big);
        assert!(filled.cache.bytes() <= BYTES_MAX / workers);
    }
    assert_eq!(filled.cache.len(), 15);
    let filled = Filled::new(workers);
    let small = in_memory(1);
    for path in 0..10_000 {
        filled.insert(path, &small);
    }
    assert_eq!(filled.cache.len(), ENTRIES_MAX / workers);
    let filled = Filled::new(workers);
    for path in 0..100 {
        filled.insert(path, &opened());
    }
    assert_eq!(filled.cache.len(), OPEN_FILES_MAX / workers);
    filled.cache.close_files();
    assert_eq!((filled.cache.len(), filled.cache.bytes()), (0, 0));
}

#[test]
fn what_is_used_stays_while_a_crawler_passes() {
    let filled = Filled::new(64);
    let resource = in_memory(32 << 10);
    for path in 0..10 {
        filled.insert(path, &resource);
    }
    for path in 100..1_000 {
        assert!((0..10).all(|hot| filled.has(hot)), "at {path}");
        filled.insert(path, &resource);
    }
    assert!(!filled.has(100));
    assert!(filled.has(999));
}

#[test]
fn an_entry_put_twice_is_there_once() {
    let filled = Filled::new(1);
    filled.insert(1, &in_memory(10));
    let once = filled.cache.bytes();
    filled.insert(1, &in_memory(10));
    assert_eq!((filled.cache.len(), filled.cache.bytes()), (1, once));
    let later = filled.now + Duration::from_secs(1);
    assert!(filled.cache.fresh(1, b"1", later).is_none());
    assert!(filled.cache.fresh(2, b"1", filled.now).is_none());
    filled.cache.forget(2, b"1");
    assert!(filled.has(1));
    filled.cache.forget(1, b"1");
    assert!(!filled.has(1));
}

#[test]
fn complaints_come_once_a_second_and_count_the_others() {
    let cache = FileCache::default();
    let now = clock::now();
    assert_eq!(cache.may_complain(now), Some(0));
    assert_eq!(cache.may_complain(now), None);
    assert_eq!(cache.may_complain(now + Duration::from_millis(999)), None);
    assert_eq!(cache.may_complain(now + Duration::from_secs(1)), Some(2));
}

#[test]
fn what_cannot_be_read_is_told_and_what_is_short_is_short() {
    let (pool, jobs) = BlockingPool::new(1);
    let thread = std::thread::Builder::new();
    thread.spawn(move || jobs.run(|| {})).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "content").unwrap();
    let file = Arc::new(File::open(folder.path().join("a")).unwrap());
    let content = |size| block_on(read(&file, size, &pool)).unwrap();
    assert_eq!(content(7), "content");
    assert_eq!(content(4), "cont");
    assert_eq!(content(0), "");
    assert_eq!(content(100), "content");
    // The first page of a process is never mapped.
    let memory = Arc::new(File::open("/proc/self/mem").unwrap());
    let failed = block_on(read(&memory, 10, &pool));
    assert_eq!(failed, Err(ReadError::Failed(Errno::IO)));
    let (full, _jobs) = BlockingPool::new(0);
    let failed = block_on(read(&memory, 10, &full));
    assert_eq!(failed, Err(ReadError::Overloaded));
}

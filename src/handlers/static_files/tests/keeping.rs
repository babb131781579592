//! What is kept, for how long, and when it is noticed that it changed.

use std::fs;

use super::super::cache::FileCache;
use super::super::content::SMALL;
use super::super::representation::{Identity, Resource};
use super::super::resolve;
use super::*;

const MOMENT: Duration = Duration::from_millis(500);
const WHILE: Duration = Duration::from_millis(1_500);

#[test]
fn a_file_is_believed_for_a_second_and_then_looked_at() {
    let site = &mut Site::new("", &[("a", "old")]);
    assert_eq!(site.get("/a").text(), "old");
    // Replaced as editors and deployments do it.
    fs::write(site.path("b"), "new").unwrap();
    fs::rename(site.path("b"), site.path("a")).unwrap();
    site.later = MOMENT;
    assert_eq!(site.get("/a").text(), "old");
    site.later += WHILE;
    assert_eq!(site.get("/a").text(), "new");
    // Written over.
    fs::write(site.path("a"), "newer").unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").text(), "newer");
    fs::remove_file(site.path("a")).unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").status(), 404);
    site.later += MOMENT;
    assert_eq!(site.get("/a").status(), 404);
}

#[test]
fn what_did_not_change_stays() {
    let site = &mut Site::new("", &[("a", "a")]);
    let pointer = |answer: &Answer| match &answer.response.body {
        Body::Bytes(bytes) => bytes.as_ptr(),
        other => panic!("{other:?}"),
    };
    let first = site.get("/a");
    for _ in 0..3 {
        site.later += WHILE;
        assert_eq!(pointer(&site.get("/a")), pointer(&first));
    }
}

#[test]
fn a_sibling_that_comes_or_goes_is_noticed() {
    let site = &mut Site::new("precompressed = ['gz']", &[("a", "plain")]);
    let get = |site: &mut Site| {
        site.later += WHILE;
        let answer = site.get_with("/a", &[("Accept-Encoding", "gzip")]);
        answer.text().to_owned()
    };
    assert_eq!(get(site), "plain");
    fs::write(site.path("a.gz"), "zipped").unwrap();
    assert_eq!(get(site), "zipped");
    fs::remove_file(site.path("a.gz")).unwrap();
    assert_eq!(get(site), "plain");
}

#[test]
fn an_index_that_appears_is_served() {
    let site = &mut Site::new("index = ['a', 'b']", &[("b", "second")]);
    assert_eq!(site.get("/").text(), "second");
    fs::write(site.path("a"), "first").unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/").text(), "first");
}

#[test]
fn large_files_are_kept_open_and_small_ones_in_memory() {
    let limit = usize::try_from(SMALL).unwrap();
    let (small, large) = ("x".repeat(limit), "x".repeat(limit + 1));
    let site = &mut Site::new("", &[("small", &small), ("large", &large)]);
    assert!(site.get("/small").is_in_memory());
    let first = site.get("/large");
    let again = site.get("/large");
    match (&first.response.body, &again.response.body) {
        (Body::File(first), Body::File(again)) => {
            assert!(std::sync::Arc::ptr_eq(&first.file, &again.file));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(again.text(), large);
}

#[test]
fn a_file_cut_while_kept_open_has_its_new_length_when_looked_at() {
    let site = &mut Site::new("", &[("a", &"x".repeat(100_000))]);
    assert_eq!(site.get("/a").body.len(), 100_000);
    let file = fs::File::options()
        .write(true)
        .open(site.path("a"))
        .unwrap();
    file.set_len(50_000).unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").body.len(), 50_000);
}

#[test]
fn one_file_for_countless_paths_takes_one_place() {
    let site = &mut Site::new("fallback = '/app'", &[("app", "app")]);
    for n in 0..100 {
        assert_eq!(site.get(&format!("/{n}")).text(), "app");
    }
    let cache = site.worker.as_ref().unwrap().locals.keep::<FileCache>();
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_replaced_root_is_noticed_and_a_vanished_one_survived() {
    let mut site = Site::new("", &[("one/a", "old"), ("two/a", "new")]);
    site.handler = build("root = 'now'", {
        std::os::unix::fs::symlink("one", site.path("now")).unwrap();
        site.folder.path().into()
    })
    .unwrap();
    assert_eq!(site.get("/a").text(), "old");
    std::os::unix::fs::symlink("two", site.path("then")).unwrap();
    fs::rename(site.path("then"), site.path("now")).unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").text(), "new");
    fs::remove_dir_all(site.path("two")).unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").status(), 404);
    fs::create_dir(site.path("two")).unwrap();
    fs::write(site.path("two/a"), "back").unwrap();
    site.later += WHILE;
    assert_eq!(site.get("/a").text(), "back");
}

#[test]
fn what_a_dropped_handler_kept_goes_when_another_comes() {
    let mut site = Site::new("", &[("a", "a")]);
    site.get("/a");
    let cache = site.worker.as_ref().unwrap().locals.keep::<FileCache>();
    assert_eq!(cache.len(), 1);
    site.handler = build("root = '.'", site.folder.path().into()).unwrap();
    site.get("/none");
    assert_eq!(cache.len(), 0);
}

#[test]
fn without_descriptors_the_open_files_are_given_back() {
    let site = &mut Site::new("", &[("a", "a"), ("b", &"b".repeat(100_000))]);
    site.get("/a");
    site.get("/b");
    let cache = site.worker.as_ref().unwrap().locals.keep::<FileCache>();
    assert_eq!(cache.len(), 2);
    cache.close_files();
    assert_eq!(cache.len(), 1);
    assert_eq!(site.get("/b").body.len(), 100_000);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_sent_as_it_is_then_and_not_kept() {
    let site = &mut Site::new("", &[("a", "before")]);
    site.get("/none");
    let mut worker = site.worker.take().unwrap();
    let (file, metadata) = resolve::open(&site.handler.root, b"a").unwrap();
    fs::write(site.path("a"), "and after").unwrap();
    let handler = &site.handler;
    let plain = worker.run(async |x| {
        let identity = Identity::of(&metadata);
        let read = handler.represent(x, file, identity, b"a", None).await;
        read.unwrap()
    });
    let resource = Resource {
        plain,
        coded: Vec::new(),
    };
    assert!(!resource.is_settled());
    let response = resource.respond(&worker.head);
    assert_eq!(read(&response.body), b"and after");
    let size_in_tag = response.headers.get_str(&name::ETAG).unwrap();
    assert!(size_in_tag.ends_with("-9\""), "{size_in_tag}");
}

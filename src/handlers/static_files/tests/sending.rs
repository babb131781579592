//! What is sent of a file: fields, conditions, ranges, precompressed siblings.

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn set_modified(site: &Site, path: &str, seconds: u64) {
    let file = std::fs::File::options()
        .write(true)
        .open(site.path(path))
        .unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

fn all_fields(answer: &Answer) -> Vec<String> {
    let fields = answer.response.headers.iter().map(|(name, value)| {
        let [name, value] = [name, value].map(String::from_utf8_lossy);
        format!("{name}: {value}")
    });
    fields.collect()
}

#[test]
fn a_file_and_its_fields() {
    let site = &mut Site::new("cache_control = 'max-age=60'", &[("a.css", "body{}")]);
    set_modified(site, "a.css", 1_000_000_000);
    for method in [Method::Get, Method::Head, Method::Get] {
        let answer = site.send(method, "/a.css", &[]);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text(), "body{}");
        assert!(answer.is_in_memory());
        assert_eq!(
            all_fields(&answer),
            [
                "Content-Type: text/css; charset=utf-8",
                "Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT",
                "ETag: \"3b9aca0000000000-6\"",
                "Accept-Ranges: bytes",
                "Cache-Control: max-age=60",
            ]
        );
    }
    let site = &mut Site::new("etag = false\ncharset = ''", &[("a.css", "")]);
    set_modified(site, "a.css", 1_000_000_000);
    let answer = site.get("/a.css");
    assert_eq!(answer.body, b"");
    assert_eq!(
        all_fields(&answer),
        [
            "Content-Type: text/css",
            "Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT",
            "Accept-Ranges: bytes",
        ]
    );
}

#[test]
fn a_change_that_is_still_to_come_is_not_told() {
    let site = &mut Site::new("", &[("a", "")]);
    let now = clock::unix_now().as_secs();
    set_modified(site, "a", now + DAY.as_secs());
    let told = site.get("/a").field(&name::LAST_MODIFIED).to_owned();
    let told = crate::http::date::parse(told.as_bytes(), now).unwrap();
    assert!((now..now + 60).contains(&told));
}

#[test]
fn conditions() {
    let site = &mut Site::new("cache_control = 'no-cache'", &[("a", "content")]);
    let first = site.get("/a");
    let etag = first.field(&name::ETAG);
    let modified = first.field(&name::LAST_MODIFIED);
    for field in [("If-None-Match", etag), ("If-Modified-Since", modified)] {
        let answer = site.get_with("/a", &[field]);
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.body, b"");
        let expected = [format!("ETag: {etag}"), "Cache-Control: no-cache".into()];
        assert_eq!(all_fields(&answer), expected);
    }
    let answer = site.get_with("/a", &[("If-Match", "\"other\"")]);
    assert_eq!(answer.status(), 412);
    let stale = "Sun, 06 Nov 1994 08:49:37 GMT";
    let answer = site.get_with("/a", &[("If-Unmodified-Since", stale)]);
    assert_eq!(answer.status(), 412);
    let answer = site.get_with("/a", &[("If-None-Match", "\"x\"")]);
    assert_eq!(answer.text(), "content");
    let without = &mut Site::new("etag = false", &[("a", "")]);
    let modified = without.get("/a").field(&name::LAST_MODIFIED).to_owned();
    let answer = without.get_with("/a", &[("If-Modified-Since", &modified)]);
    assert_eq!(all_fields(&answer), [format!("Last-Modified: {modified}")]);
}

#[test]
fn ranges_of_small_and_large_files() {
    let large = "0123456789".repeat(10_000);
    let site = &mut Site::new("", &[("small.txt", "0123456789"), ("large.txt", &large)]);
    for (target, complete) in [("/small.txt", 10), ("/large.txt", 100_000)] {
        let answer = site.get_with(target, &[("Range", "bytes=2-4")]);
        assert_eq!((answer.status(), answer.text()), (206, "234"));
        let range = format!("bytes 2-4/{complete}");
        assert_eq!(answer.field(&name::CONTENT_RANGE), range);
        let answer = site.get_with(target, &[("Range", "bytes=-1")]);
        assert_eq!((answer.status(), answer.text()), (206, "9"));
        let answer = site.get_with(target, &[("Range", "bytes=200000-")]);
        assert_eq!(answer.status(), 416);
        let range = format!("bytes */{complete}");
        assert_eq!(answer.field(&name::CONTENT_RANGE), range);
        let answer = site.get_with(target, &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
        assert_eq!((answer.status(), answer.body.len()), (200, complete));
        let answer = site.send(Method::Head, target, &[("Range", "bytes=0-1")]);
        assert_eq!(answer.status(), 200);
        several_ranges(site, target, complete);
    }
}

fn several_ranges(site: &mut Site, target: &str, complete: usize) {
    let answer = site.get_with(target, &[("Range", "bytes=0-1,5-6")]);
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.field(&name::CONTENT_RANGE), "");
    let content_type = answer.field(&name::CONTENT_TYPE);
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, content: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {range}/{complete}\r\n\r\n{content}"
        )
    };
    let expected = part("0-1", "01") + &part("5-6", "56") + &format!("\r\n--{boundary}--\r\n");
    assert_eq!(answer.text(), expected);
    assert_eq!(answer.response.body.length(), Some(expected.len() as u64));
    let again = site.get_with(target, &[("Range", "bytes=0-1,5-6")]);
    assert_ne!(again.field(&name::CONTENT_TYPE), content_type);
}

#[test]
fn siblings_are_sent_to_who_wants_them() {
    let files = [
        ("a.js", "plain"),
        ("a.js.gz", "zipped"),
        ("a.js.br", "brotli"),
        ("b.js", "alone"),
        ("c.js", "c"),
        ("c.js.gz/", ""),
        ("d.js.gz", "zipped"),
    ];
    let site = &mut Site::new("precompressed = ['br', 'zst', 'gz']", &files);
    let mut check = |target: &str, accept: &str, text: &str, coding: &str, range: &str| {
        let fields = [("Accept-Encoding", accept), ("Range", range)];
        let answer = site.get_with(target, &fields);
        assert_eq!(answer.text(), text, "{target} {accept}");
        assert_eq!(answer.field(&name::CONTENT_ENCODING), coding);
        assert_eq!(answer.field(&name::VARY), "Accept-Encoding");
        let content_type = answer.field(&name::CONTENT_TYPE);
        assert_eq!(content_type, "text/javascript; charset=utf-8");
        answer.field(&name::ETAG).to_owned()
    };
    let plain = check("/a.js", "", "plain", "", "");
    let zipped = check("/a.js", "gzip", "zipped", "gzip", "");
    let brotli = check("/a.js", "gzip, br, zstd", "brotli", "br", "");
    assert!(plain != zipped && zipped != brotli && brotli != plain);
    assert!(zipped.ends_with("-6-gz\""), "{zipped}");
    check("/a.js", "gzip, br;q=0.5", "zipped", "gzip", "");
    check("/a.js", "br;q=0, gzip;q=0", "plain", "", "");
    check("/a.js", "zstd", "plain", "", "");
    check("/a.js", "gzip", "zip", "gzip", "bytes=0-2");
    check("/b.js", "gzip", "alone", "", "");
    check("/c.js", "gzip", "c", "", "");
    assert_eq!(site.get("/d.js").status(), 404);
    let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", &*zipped)];
    let answer = site.get_with("/a.js", &fields);
    assert_eq!(answer.status(), 304);
    assert_eq!(answer.field(&name::VARY), "Accept-Encoding");
}

#[test]
fn a_sibling_older_than_its_file_is_not_sent() {
    let files = [("a", "plain"), ("a.gz", "zipped")];
    let site = &mut Site::new("precompressed = ['gz']", &files);
    set_modified(site, "a", 1_000_000_000);
    // What was made at the same time may have lost a second or two on its way here.
    for (made, text) in [
        (1_000_000_005, "zipped"),
        (999_999_998, "zipped"),
        (999_999_997, "plain"),
    ] {
        set_modified(site, "a.gz", made);
        site.later += Duration::from_secs(2);
        let answer = site.get_with("/a", &[("Accept-Encoding", "gzip")]);
        assert_eq!(answer.text(), text, "{made}");
    }
}

#[test]
fn errors_of_the_file_system_have_their_status() {
    use super::super::cache::FileCache;
    use super::super::{Errno, Failure};
    let site = Site::new("", &[]);
    let status = |failure| {
        let cache = FileCache::default();
        let answer = site.handler.refuse(&cache, b"/a", failure, clock::now());
        (answer.status.code(), answer.why)
    };
    let failed = Some(Why::FileError);
    assert_eq!(status(Failure::Failed(Errno::MFILE)), (503, failed));
    assert_eq!(status(Failure::Failed(Errno::NFILE)), (503, failed));
    assert_eq!(status(Failure::Failed(Errno::IO)), (500, failed));
    let overloaded = Some(Why::Overloaded);
    assert_eq!(status(Failure::Overloaded), (503, overloaded));
    let refused = super::super::Missed::from(Errno::ACCESS).into();
    assert_eq!(status(refused), (403, Some(Why::FileForbidden)));
}

#[test]
fn where_the_pool_is_full_the_client_is_asked_to_come_again() {
    let site = &mut Site::new("listing = true", &[("a", "a")]);
    assert_eq!(site.get("/").status(), 200);
    let full = crate::exchange::BlockingPool::new(0).0;
    site.worker.as_mut().unwrap().locals.blocking = full;
    let answer = site.get("/");
    assert_eq!(
        (answer.status(), answer.why()),
        (503, Some(Why::Overloaded))
    );
    assert_eq!(answer.field(&name::RETRY_AFTER), "1");
}

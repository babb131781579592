//! Listings: what is in them, in which order, and that names stay names.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

const JSON: &[(&str, &str)] = &[("Accept", "application/json")];

fn names(site: &mut Site, target: &str) -> Vec<String> {
    let answer = site.get_with(target, JSON);
    assert_eq!(answer.status(), 200, "{target}");
    let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let entries = page["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn json_has_names_types_sizes_and_dates() {
    let site = &mut Site::new("listing = true", &[("d/b.txt", "12345"), ("d/sub/x", "")]);
    let file = fs::File::open(site.path("d/b.txt")).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(time).unwrap();
    fs::File::open(site.path("d/sub"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let answer = site.get_with("/d/", JSON);
    assert_eq!(answer.field(&name::CONTENT_TYPE), "application/json");
    assert_eq!(answer.field(&name::VARY), "Accept");
    let date = "2001-09-09T01:46:40.000Z";
    let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = serde_json::json!({
        "path": "/d/",
        "entries": [
            { "name": "sub", "type": "directory", "modified": date },
            { "name": "b.txt", "type": "file", "size": 5, "modified": date },
        ],
        "truncated": false,
    });
    assert_eq!(page, expected);
    assert_eq!(site.get("/d").status(), 308);
    assert_eq!(site.get("/d/b.txt/").status(), 404);
}

#[test]
fn sorted_by_each_column_both_ways() {
    let files = [
        ("b", "1"),
        ("a", "333"),
        ("c", "22"),
        ("z/", ""),
        ("y/", ""),
    ];
    let site = &mut Site::new("listing = true", &files);
    for (path, seconds) in [("a", 2), ("b", 3), ("c", 1), ("y", 2), ("z", 1)] {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = fs::File::open(site.path(path)).unwrap();
        file.set_modified(time).unwrap();
    }
    let mut check = |query: &str, expected: &str| {
        assert_eq!(
            names(site, &format!("/{query}")).concat(),
            expected,
            "{query}"
        );
    };
    check("", "yzabc");
    check("?sort=name&order=desc", "zycba");
    check("?sort=size", "yzbca");
    check("?order=desc&sort=size", "zyacb");
    check("?sort=date", "zycab");
    check("?sort=date&order=desc", "yzbac");
    check("?sort=nonsense&x&order=up", "yzabc");
}

#[test]
fn names_are_never_markup_nor_another_place() {
    let site = &mut Site::new("listing = true", &[("<i>/x", "")]);
    for bad in [
        &b"<script>alert(1)</script>"[..],
        b"\"quoted\" & 'more'",
        b"line\nbreak",
        b"javascript:alert(1)",
        b"not\xff utf-8",
        b"a?b#c%41",
        "größe".as_bytes(),
    ] {
        // A slash cannot be in a name.
        let bad: Vec<u8> = bad
            .iter()
            .map(|&b| if b == b'/' { b'_' } else { b })
            .collect();
        let name = std::ffi::OsStr::from_bytes(&bad);
        fs::write(site.folder.path().join("<i>").join(name), "").unwrap();
    }
    let answer = site.get("/%3Ci%3E/");
    let html = answer.text();
    assert_eq!(
        answer.field(&name::CONTENT_TYPE),
        "text/html; charset=utf-8"
    );
    assert_eq!(
        answer.field(&name::CONTENT_SECURITY_POLICY),
        "default-src 'none'; style-src 'unsafe-inline'"
    );
    for row in [
        "<title>Index of /&lt;i&gt;/</title>",
        "<a href=\"%3Cscript%3Ealert%281%29%3C_script%3E\">\
         &lt;script&gt;alert(1)&lt;_script&gt;</a>",
        "<a href=\"%22quoted%22%20%26%20%27more%27\">&quot;quoted&quot; &amp; &#39;more&#39;</a>",
        "<a href=\"line%0Abreak\">line\u{fffd}break</a>",
        "<a href=\"javascript%3Aalert%281%29\">javascript:alert(1)</a>",
        "<a href=\"not%FF%20utf-8\">not\u{fffd} utf-8</a>",
        "<a href=\"a%3Fb%23c%2541\">a?b#c%41</a>",
        "<a href=\"gr%C3%B6%C3%9Fe\">größe</a>",
        "<a href=\"../\">../</a>",
    ] {
        assert!(html.contains(row), "{row} is not in {html}");
    }
    let top = site.get("/");
    assert!(top.text().contains("<a href=\"%3Ci%3E/\">&lt;i&gt;/</a>"));
    assert!(!top.text().contains("../"));
    assert_eq!(names(site, "/%3Ci%3E/").len(), 8);
}

#[test]
fn only_what_would_be_served_is_shown() {
    let files = [(".env", ""), (".git/x", ""), ("a", ""), ("sub/x", "")];
    let mut site = Site::new("listing = true", &files);
    symlink("a", site.path("inside")).unwrap();
    symlink("sub", site.path("folder")).unwrap();
    symlink("/etc/passwd", site.path("outside")).unwrap();
    symlink("none", site.path("dangling")).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, site.path("pipe"), FileType::Fifo, mode, 0).unwrap();
    symlink("pipe", site.path("to_pipe")).unwrap();
    assert_eq!(names(&mut site, "/"), ["folder", "sub", "a", "inside"]);
    let toml = "root = '.'\nlisting = true\nsymlinks = 'deny'\ndotfiles = true";
    site.handler = build(toml, site.folder.path().into()).unwrap();
    assert_eq!(names(&mut site, "/"), [".git", "sub", ".env", "a"]);
}

#[test]
fn an_index_comes_before_a_listing_and_sizes_are_readable() {
    let site = &mut Site::new("listing = true", &[("index.html", "index"), ("d/x", "")]);
    assert_eq!(site.get("/").text(), "index");
    let sizes = [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_536, "1.5 KiB"),
        (1_048_575, "1023.9 KiB"),
        (1_048_576, "1.0 MiB"),
        (5_497_558_138_880, "5.0 TiB"),
    ];
    for (index, (size, _)) in sizes.iter().enumerate() {
        let file = fs::File::create(site.path(&format!("d/{index}"))).unwrap();
        file.set_len(*size).unwrap();
    }
    let answer = site.get("/d/");
    for (_, text) in sizes {
        let cell = format!("<td>{text}</td>");
        assert!(answer.text().contains(&cell), "{text}");
    }
}

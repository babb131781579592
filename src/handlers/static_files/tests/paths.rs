//! Which file answers, and which paths never reach one.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

#[track_caller]
fn check(site: &mut Site, target: &str, status: u16, text: &str) {
    let answer = site.get(target);
    assert_eq!(answer.status(), status, "{target}");
    if status == 200 {
        assert_eq!(answer.text(), text, "{target}");
    }
}

#[test]
fn files_and_indexes() {
    let files = [
        ("a.txt", "a"),
        ("sub/index.htm", "second"),
        ("both/index.html", "first"),
        ("both/index.htm", "second"),
        ("bare/x", ""),
        ("index.html", "root"),
    ];
    let site = &mut Site::new("index = ['index.html', 'index.htm']", &files);
    check(site, "/a.txt", 200, "a");
    check(site, "/", 200, "root");
    check(site, "/sub/", 200, "second");
    check(site, "/both/", 200, "first");
    check(site, "/both/index.htm", 200, "second");
    check(site, "/bare/", 403, "");
    check(site, "/bare", 403, "");
    check(site, "/a.txt/", 404, "");
    check(site, "/a.txt/b", 404, "");
    check(site, "/none", 404, "");
    check(site, "/none/", 404, "");
    check(site, &format!("/{}", "x".repeat(300)), 404, "");
    check(site, &format!("/{}", "x/".repeat(3000)), 404, "");
    assert_eq!(site.get("/none").why(), Some(Why::FileNone));
    assert_eq!(site.get("/bare/").why(), Some(Why::FileForbidden));
}

#[test]
fn a_directory_is_redirected_to_itself_with_a_slash() {
    let files = [("a b/index.html", ""), ("index.html", "")];
    let site = &mut Site::new("strip_prefix = '/docs'", &files);
    let location = |site: &mut Site, target: &str| {
        let answer = site.get(target);
        assert_eq!(answer.status(), 308, "{target}");
        answer.field(&name::LOCATION).to_owned()
    };
    assert_eq!(location(site, "/docs/a%20b"), "/docs/a%20b/");
    assert_eq!(location(site, "/docs/a%20b?x=1&y"), "/docs/a%20b/?x=1&y");
    assert_eq!(location(site, "//docs//a%20b"), "/docs/a%20b/");
    assert_eq!(location(site, "/docs"), "/docs/");
    check(site, "/docs/", 200, "");
    check(site, "/docsa%20b", 404, "");
    check(site, "/a%20b/", 404, "");
}

#[test]
fn no_redirection_names_a_host() {
    let files = [("evil.example/index.html", ""), ("\\evil/index.html", "")];
    let site = &mut Site::new("", &files);
    let answer = site.get("//evil.example");
    assert_eq!(answer.field(&name::LOCATION), "/evil.example/");
    assert_eq!(site.get("/%5Cevil").status(), 400);
}

#[test]
fn paths_that_never_reach_the_file_system() {
    let site = &mut Site::new("", &[("a/b", "b"), ("a\\b", "b")]);
    for target in ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00", "/a/b%0A", "/%7F"] {
        let answer = site.get(target);
        assert_eq!(answer.status(), 400, "{target}");
        assert_eq!(answer.why(), Some(Why::BadPath));
    }
}

#[test]
fn nothing_above_the_root_is_reached() {
    let files = [("root/a", "a"), ("secret", "secret")];
    let mut site = Site::new("", &files);
    site.handler = build("root = 'root'", site.folder.path().into()).unwrap();
    let site = &mut site;
    check(site, "/a", 200, "a");
    for target in [
        "/x/..%2f..%2fsecret",
        "/x/%2e%2e%2fsecret",
        "/....//secret",
        "/secret",
    ] {
        let answer = site.get(target);
        assert!(matches!(answer.status(), 400 | 404), "{target}");
    }
    // What would be above the root is refused with the target, before there is a handler.
    for target in ["/../secret", "/%2e%2e/secret", "/a/%2E./.%2e/secret"] {
        let mut parsed = crate::http::Target::default();
        assert!(parsed.parse(target.as_bytes()).is_err(), "{target}");
    }
}

#[test]
fn dotfiles_do_not_exist_unless_told() {
    let files = [
        (".env", "env"),
        (".git/config", "config"),
        ("a/.htaccess", "x"),
        (".well-known/acme", "acme"),
        ("a/.well-known/x", "x"),
    ];
    let site = &mut Site::new("fallback = '/.env'", &files);
    for target in ["/.env", "/.git/config", "/%2eenv", "/a/.htaccess", "/.no"] {
        let answer = site.get(target);
        assert_eq!(answer.status(), 404, "{target}");
        assert_eq!(answer.why(), Some(Why::FileNone));
    }
    check(site, "/.well-known/acme", 200, "acme");
    check(site, "/a/.well-known/x", 404, "");
    let site = &mut Site::new("dotfiles = true", &files);
    check(site, "/.env", 200, "env");
    check(site, "/a/.well-known/x", 200, "x");
}

#[test]
fn links_go_as_far_as_the_policy() {
    let statuses = |policy: &str| {
        let files = [("root/a", "a"), ("secret", "secret"), ("root/d/x", "x")];
        let mut site = Site::new("", &files);
        symlink("a", site.path("root/inside")).unwrap();
        symlink("d", site.path("root/folder")).unwrap();
        symlink("../secret", site.path("root/outside")).unwrap();
        symlink("..", site.path("root/parent")).unwrap();
        let toml = format!("root = 'root'\nsymlinks = '{policy}'");
        site.handler = build(&toml, site.folder.path().into()).unwrap();
        ["/inside", "/folder/x", "/outside", "/parent/secret"].map(|path| site.get(path).status())
    };
    assert_eq!(statuses("deny"), [403, 403, 403, 403]);
    assert_eq!(statuses("within"), [200, 200, 403, 403]);
    assert_eq!(statuses("follow"), [200, 200, 200, 200]);
}

#[test]
fn what_is_no_file_is_refused_and_does_not_block() {
    let site = &mut Site::new("", &[]);
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, site.path("pipe"), FileType::Fifo, mode, 0).unwrap();
    check(site, "/pipe", 403, "");
}

#[test]
fn attempts_in_order_then_the_fallback() {
    let files = [
        ("about.html", "about"),
        ("about/team.html", "team"),
        ("both", "exact"),
        ("both.html", "with html"),
        ("folder/index.html", "index"),
        ("app.html", "app"),
    ];
    let settings = "try = ['{path}', '{path}.html', '{path}/']\nfallback = '/app.html'";
    let site = &mut Site::new(settings, &files);
    check(site, "/about", 200, "about");
    check(site, "/about/team", 200, "team");
    check(site, "/both", 200, "exact");
    check(site, "/folder/", 200, "index");
    check(site, "/folder", 308, "");
    check(site, "/any/where", 200, "app");
    check(site, "/about/", 200, "app");
    assert_eq!(site.get("/any").field(&name::CONTENT_TYPE), HTML);
    let settings = "try = ['{path}', '/pages{path}.html', '/404.html']";
    let files = [("pages/x.html", "x"), ("404.html", "none")];
    let site = &mut Site::new(settings, &files);
    check(site, "/x", 200, "x");
    check(site, "/y", 200, "none");
    let site = &mut Site::new("fallback = '/none.html'", &[]);
    check(site, "/y", 404, "");
}

const HTML: &str = "text/html; charset=utf-8";

#[test]
fn other_methods_are_told_which_are_allowed() {
    let site = &mut Site::new("", &[("a", "")]);
    for method in [Method::Post, Method::Put, Method::Delete, Method::Options] {
        let answer = site.send(method, "/a", &[]);
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.field(&name::ALLOW), "GET, HEAD");
        assert_eq!(answer.why(), Some(Why::MethodNotAllowed));
    }
}

proptest::proptest! {
    /// Whatever is asked for and whichever links are followed: nothing outside comes back.
    #[test]
    fn no_path_leads_outside(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..8),
        policy in proptest::sample::select(&["deny", "within"][..]),
    ) {
        let files = [("root/a/b", "inside"), ("secret", "SECRET"), ("d/secret", "SECRET")];
        let mut site = Site::new("", &files);
        symlink("../secret", site.path("root/outside")).unwrap();
        symlink("..", site.path("root/up")).unwrap();
        symlink("../../d", site.path("root/a/d")).unwrap();
        symlink(site.path("d"), site.path("root/absolute")).unwrap();
        let toml = format!("root = 'root'\ndotfiles = true\nlisting = true\nsymlinks = '{policy}'");
        site.handler = build(&toml, site.folder.path().into()).unwrap();
        let target = format!("/{}", pieces.concat());
        let mut parsed = crate::http::Target::default();
        if parsed.parse(target.as_bytes()).is_ok() {
            let answer = site.get(&target);
            let text = String::from_utf8_lossy(&answer.body);
            proptest::prop_assert!(!text.contains("SECRET"), "{target}");
        }
    }
}

const PIECES: &[&str] = &[
    "/",
    "a",
    "b",
    "/a/",
    "..",
    "../",
    "/..",
    ".",
    "%2e%2e/",
    "%2E.",
    "%2f",
    "..%2f",
    "%5c",
    "secret",
    "/secret",
    "outside",
    "up",
    "/up/",
    "d",
    "absolute",
    "absolute/",
    "%00",
    "a/d/",
];

//! What is in a directory, as HTML for people and as JSON for programs.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;
use serde::Serialize;

use super::resolve::Site;
use crate::exchange::Response;
use crate::http::{RequestHead, StatusCode, accept, date, name};
use crate::sys::beneath::Root;

/// More than anyone scrolls through, and a page of some two megabytes.
const ENTRIES_MAX: usize = 10_000;

/// How the entries shall be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    by: Column,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Date,
}

impl Column {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Name, "name", "Name"),
        (Self::Size, "size", "Size"),
        (Self::Date, "date", "Modified"),
    ];
}

impl Wanted {
    /// From `?sort=name|size|date&order=asc|desc`; by name if nothing, or nothing known, is
    /// said.
    pub(super) fn of(request: &RequestHead) -> Self {
        let mut wanted = Self {
            by: Column::Name,
            descending: false,
        };
        let query = request.target.query().unwrap_or_default();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sort", value)) => {
                    let known = Column::ALL.iter().find(|(_, name, _)| *name == value);
                    wanted.by = known.map_or(wanted.by, |(column, ..)| *column);
                }
                Some(("order", value)) => wanted.descending = value == "desc",
                _ => {}
            }
        }
        wanted
    }
}

/// The entries of a directory.
#[derive(Debug)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// There are more.
    truncated: bool,
    is_root: bool,
    wanted: Wanted,
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    is_directory: bool,
    size: u64,
    /// Seconds since 1970.
    modified: u64,
}

/// Reads what a client may know of the directory at this path; may block. Links are shown as
/// what they lead to, if it would be served; what is neither file nor directory is not shown.
pub(super) fn read(
    root: &Root,
    directory: &File,
    path: &[u8],
    site: &Site,
    wanted: Wanted,
) -> Result<Listing, Errno> {
    let mut listing = Listing {
        entries: Vec::new(),
        truncated: false,
        is_root: path == b"/",
        wanted,
    };
    for item in Dir::read_from(directory)? {
        let item = item?;
        let name = item.file_name().to_bytes();
        if matches!(name, b"." | b"..") || site.is_hidden_name(name) {
            continue;
        }
        if listing.entries.len() == ENTRIES_MAX {
            listing.truncated = true;
            break;
        }
        listing.entries.extend(look_at(root, directory, path, name));
    }
    sort(&mut listing.entries, wanted);
    Ok(listing)
}

fn look_at(root: &Root, directory: &File, path: &[u8], name: &[u8]) -> Option<Entry> {
    let own = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let (is_directory, size, modified) = match FileType::from_raw_mode(own.st_mode) {
        FileType::RegularFile => (false, own.st_size, own.st_mtime),
        FileType::Directory => (true, 0, own.st_mtime),
        FileType::Symlink => {
            let path = path.strip_prefix(b"/").unwrap_or(path);
            let (_, metadata) = super::resolve::open(root, &[path, name].concat()).ok()?;
            if !metadata.is_dir() && !metadata.is_file() {
                return None;
            }
            let size = i64::try_from(metadata.len()).ok()?;
            (metadata.is_dir(), size, metadata.mtime())
        }
        _ => return None,
    };
    Some(Entry {
        name: name.to_vec(),
        is_directory,
        size: if is_directory {
            0
        } else {
            u64::try_from(size).unwrap_or(0)
        },
        modified: u64::try_from(modified).unwrap_or(0),
    })
}

/// Directories first, and the names decide between equals, so that the order is always one.
fn sort(entries: &mut [Entry], wanted: Wanted) {
    entries.sort_unstable_by(|a, b| {
        let order = match wanted.by {
            Column::Name => a.name.cmp(&b.name),
            Column::Size => a.size.cmp(&b.size),
            Column::Date => a.modified.cmp(&b.modified),
        };
        let order = order.then_with(|| a.name.cmp(&b.name));
        let order = if wanted.descending {
            order.reverse()
        } else {
            order
        };
        b.is_directory.cmp(&a.is_directory).then(order)
    });
}

/// As HTML, unless the client would rather have JSON.
pub(super) fn respond(request: &RequestHead, listing: &Listing) -> Response {
    let json = accept::media_quality(&request.headers, "application/json");
    let html = accept::media_quality(&request.headers, "text/html");
    let path = String::from_utf8_lossy(request.target.path());
    let response = if json > html {
        Response::json(StatusCode::OK, listing.json(&path))
    } else {
        let html = listing.html(&path);
        Response::typed(StatusCode::OK, "text/html; charset=utf-8", html)
            .with(&name::CONTENT_SECURITY_POLICY, POLICY)
    };
    response.with(&name::VARY, "Accept")
}

/// Should a name ever get through as markup, nothing comes of it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem}\
    table{border-collapse:collapse}td,th{padding:.1rem 2rem .1rem 0;text-align:left}\
    td+td,th+th{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
    a{text-decoration:none}@media(prefers-color-scheme:dark){:root{color-scheme:dark}}";

impl Listing {
    fn json(&self, path: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Page<'a> {
            path: &'a str,
            entries: Vec<Row<'a>>,
            truncated: bool,
        }
        #[derive(Serialize)]
        struct Row<'a> {
            name: Cow<'a, str>,
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            size: Option<u64>,
            modified: String,
        }
        let entries = self.entries.iter().map(|entry| Row {
            name: String::from_utf8_lossy(&entry.name),
            r#type: if entry.is_directory {
                "directory"
            } else {
                "file"
            },
            size: (!entry.is_directory).then_some(entry.size),
            modified: date::rfc3339(std::time::Duration::from_secs(entry.modified)),
        });
        let page = Page {
            path,
            entries: entries.collect(),
            truncated: self.truncated,
        };
        // Strings, numbers and lists can always be written.
        serde_json::to_vec(&page).unwrap_or_default()
    }

    fn html(&self, path: &str) -> String {
        let title = escaped(path);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>Index of {title}</title><style>{STYLE}</style></head>\n\
             <body><h1>Index of {title}</h1>\n<table><thead><tr>"
        );
        for (column, key, heading) in Column::ALL {
            let turn = self.wanted.by == column && !self.wanted.descending;
            let order = if turn { "desc" } else { "asc" };
            push(
                &mut page,
                format_args!("<th><a href=\"?sort={key}&amp;order={order}\">{heading}</a></th>"),
            );
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        if !self.is_root {
            page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        for entry in &self.entries {
            entry.write_row(&mut page);
        }
        page.push_str("</tbody></table>\n");
        if self.truncated {
            page.push_str("<p>There are more entries than are shown.</p>\n");
        }
        page.push_str("</body></html>\n");
        page
    }
}

impl Entry {
    fn write_row(&self, page: &mut String) {
        let slash = if self.is_directory { "/" } else { "" };
        let href = percent_encoded(&self.name);
        let name = String::from_utf8_lossy(&self.name);
        let name = escaped(&name);
        let size = if self.is_directory {
            String::from("–")
        } else {
            readable(self.size)
        };
        let iso = date::rfc3339(std::time::Duration::from_secs(self.modified));
        let (day, time) = (iso.get(..10), iso.get(11..16));
        let (day, time) = (day.unwrap_or_default(), time.unwrap_or_default());
        push(
            page,
            format_args!(
                "<tr><td><a href=\"{href}{slash}\">{name}{slash}</a></td>\
             <td>{size}</td><td>{day} {time}</td></tr>\n"
            ),
        );
    }
}

fn push(page: &mut String, text: fmt::Arguments<'_>) {
    page.write_fmt(text)
        .expect("writing to a string does not fail");
}

/// `1.5 KiB`.
fn readable(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1_024;
    let mut unit = "KiB";
    for larger in UNITS.into_iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1_024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Safe as text and within quotes in HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // A line break in a name shows as what it is.
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// As part of a URL: all but the unreserved characters of RFC 3986 and the slash are encoded.
/// So is the colon, which would make a scheme of what stands before it.
pub(super) fn percent_encoded(path: &[u8]) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut encoded = String::with_capacity(path.len());
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            encoded.extend(['%', HEX[high], HEX[low]]);
        }
    }
    encoded
}

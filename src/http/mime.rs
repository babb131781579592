//! Media types by file name.
//!
//! The table is that of the `mime_guess` crate; where it disagrees with the registry of today
//! or with what an operator expects, [`OWN`] decides.

use std::borrow::Cow;

/// The type of what nothing is known of.
const DEFAULT: &str = "application/octet-stream";

/// The types that stand before the table of the crate, sorted by extension.
const OWN: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/x-c"),
    ("cjs", "text/javascript"),
    ("cpp", "text/x-c++"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("go", "text/x-go"),
    ("gz", "application/gzip"),
    ("h", "text/x-c"),
    ("ico", "image/x-icon"),
    ("java", "text/x-java"),
    ("js", "text/javascript"),
    ("json5", "application/json5"),
    ("jsonl", "application/jsonl"),
    ("jsx", "text/javascript"),
    ("jxl", "image/jxl"),
    ("log", "text/plain"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("php", "text/x-php"),
    ("py", "text/x-python"),
    ("rb", "text/x-ruby"),
    ("rs", "text/x-rust"),
    ("sh", "text/x-sh"),
    ("sql", "application/sql"),
    ("toml", "text/x-toml"),
    // Of this name there is a transport stream as well; on a web server it is hardly that.
    ("ts", "text/x-typescript"),
    ("tsx", "text/x-typescript"),
    ("ttf", "font/ttf"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webmanifest", "application/manifest+json"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zst", "application/zstd"),
];

/// The media type, without parameters, of a file of this name; `None` if its extension is not
/// known. The name may be a path. A dot at its start begins no extension.
fn from_name(name: &[u8]) -> Option<&'static str> {
    let start = name.iter().rposition(|&byte| byte == b'/');
    let file = match start {
        Some(slash) => name.get(slash + 1..)?,
        None => name,
    };
    let dot = file.iter().rposition(|&byte| byte == b'.')?;
    if dot == 0 {
        return None;
    }
    let extension = std::str::from_utf8(file.get(dot + 1..)?).ok()?;
    let lower = extension.to_ascii_lowercase();
    match OWN.binary_search_by(|(known, _)| (*known).cmp(lower.as_str())) {
        Ok(index) => OWN.get(index).map(|(_, essence)| *essence),
        Err(_) => mime_guess::from_ext(&lower).first_raw(),
    }
}

/// Whether content of this type is text, and a charset tells how to read it.
fn is_text(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json"
                | "application/jsonl"
                | "application/json5"
                | "application/xml"
                | "application/javascript"
                | "application/sql"
                | "application/yaml"
        )
}

/// The value of `Content-Type` for a file of this name: with `charset` if it is text and the
/// charset is not empty.
pub fn content_type(name: &[u8], charset: &str) -> Cow<'static, str> {
    let essence = from_name(name).unwrap_or(DEFAULT);
    if charset.is_empty() || !is_text(essence) {
        Cow::Borrowed(essence)
    } else {
        Cow::Owned(format!("{essence}; charset={charset}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_table_is_sorted_and_lower_case() {
        assert!(OWN.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(OWN.iter().all(|(known, _)| *known == known.to_lowercase()));
    }

    /// What a web site is made of. `+` stands for `; charset=utf-8`.
    const EXPECTED: &str = "
        html text/html+                 htm text/html+
        xhtml application/xhtml+xml+    css text/css+
        js text/javascript+             mjs text/javascript+
        cjs text/javascript+            map application/json+
        json application/json+          jsonld application/ld+json+
        xml application/xml+            rss application/rss+xml+
        atom application/atom+xml+      webmanifest application/manifest+json+
        txt text/plain+                 text text/plain+
        log text/plain+                 md text/markdown+
        csv text/csv+                   tsv text/tab-separated-values+
        ics text/calendar+              vcf text/x-vcard+
        yaml application/yaml+          yml application/yaml+
        toml text/x-toml+               ini text/plain+
        png image/png                   jpg image/jpeg
        jpeg image/jpeg                 gif image/gif
        webp image/webp                 avif image/avif
        svg image/svg+xml+              ico image/x-icon
        bmp image/bmp                   tiff image/tiff
        tif image/tiff                  jxl image/jxl
        mp3 audio/mpeg                  ogg audio/ogg
        wav audio/wav                   flac audio/flac
        m4a audio/mp4                   aac audio/aac
        opus audio/ogg                  weba audio/webm
        mp4 video/mp4                   webm video/webm
        avi video/x-msvideo             mov video/quicktime
        mkv video/x-matroska            mpeg video/mpeg
        ogv video/ogg                   m4v video/x-m4v
        woff font/woff                  woff2 font/woff2
        ttf font/ttf                    otf font/otf
        eot application/vnd.ms-fontobject
        pdf application/pdf             rtf application/rtf
        doc application/msword          xls application/vnd.ms-excel
        ppt application/vnd.ms-powerpoint
        docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
        xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
        pptx application/vnd.openxmlformats-officedocument.presentationml.presentation
        odt application/vnd.oasis.opendocument.text
        ods application/vnd.oasis.opendocument.spreadsheet
        odp application/vnd.oasis.opendocument.presentation
        epub application/epub+zip       zip application/zip
        tar application/x-tar           gz application/gzip
        bz2 application/x-bzip2         xz application/x-xz
        7z application/x-7z-compressed  rar application/x-rar-compressed
        zst application/zstd            jar application/java-archive
        wasm application/wasm           bin application/octet-stream
        exe application/octet-stream    iso application/octet-stream
        py text/x-python+               rs text/x-rust+
        rb text/x-ruby+                 go text/x-go+
        java text/x-java+               c text/x-c+
        h text/x-c+                     cpp text/x-c+++
        sh text/x-sh+                   sql application/sql+
        ts text/x-typescript+           tsx text/x-typescript+
        jsx text/javascript+            php text/x-php+
    ";

    #[test]
    fn every_usual_extension_has_the_right_type() {
        let words: Vec<_> = EXPECTED.split_ascii_whitespace().collect();
        for pair in words.chunks_exact(2) {
            let expected = match pair[1].strip_suffix('+') {
                Some(essence) => format!("{essence}; charset=utf-8"),
                None => pair[1].to_owned(),
            };
            let name = format!("/a.b/name.{}", pair[0]);
            assert_eq!(content_type(name.as_bytes(), "utf-8"), expected, "{name}");
            let name = name.to_ascii_uppercase();
            assert_eq!(content_type(name.as_bytes(), "utf-8"), expected, "{name}");
        }
    }

    #[test]
    fn names_without_a_known_extension() {
        for name in [
            &b""[..],
            b"/",
            b"name",
            b"/a.html/name",
            b".html",
            b"/a/.html",
            b"name.",
            b"name.nosuchthing",
            b"name.\xff",
        ] {
            assert_eq!(content_type(name, "utf-8"), DEFAULT);
        }
        assert_eq!(from_name(b"a.tar.gz"), Some("application/gzip"));
        assert_eq!(content_type(b"a.html", ""), "text/html");
        assert_eq!(
            content_type(b"a.html", "latin1"),
            "text/html; charset=latin1"
        );
    }
}

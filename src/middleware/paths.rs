//! Paths that a setting names: one alone, or all below one.

use toml::Spanned;

use crate::build::{ParseContext, Section};

/// Paths, each alone or with all below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paths(Box<[Listed]>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    /// Without the slash at its end, where all below is meant.
    path: Box<[u8]>,
    below: bool,
}

impl Paths {
    /// Reads `/health` and `/assets/*`; what is neither is reported.
    pub(super) fn read(
        written: &[Spanned<String>],
        section: &Section<'_>,
        cx: &mut ParseContext<'_>,
    ) -> Self {
        let mut listed = Vec::new();
        for one in written {
            let text = one.get_ref().as_str();
            let (path, below) = match text.strip_suffix("/*") {
                Some(path) => (path, true),
                None => (text, false),
            };
            let good = (path.starts_with('/') || (below && path.is_empty())) && !path.contains('*');
            if good {
                let path = path.as_bytes().into();
                listed.push(Listed { path, below });
            } else {
                cx.refuse(
                    section,
                    one.span(),
                    format!("`{text}` is not a path"),
                    "write a path, \"/health\", or one with all below it, \"/health/*\"",
                );
            }
        }
        Self(listed.into())
    }

    /// Whether this path, decoded, is one of them.
    pub(super) fn contain(&self, path: &[u8]) -> bool {
        self.0.iter().any(|listed| listed.covers(path))
    }
}

impl Listed {
    fn covers(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(&*self.path);
        rest.is_some_and(|rest| rest.is_empty() || (self.below && rest.starts_with(b"/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> (Paths, usize) {
        let section = Section::from_text("").unwrap();
        let mut cx = ParseContext::default();
        let texts = texts
            .iter()
            .map(|text| Spanned::new(0..0, (*text).to_owned()));
        let paths = Paths::read(&texts.collect::<Vec<_>>(), &section, &mut cx);
        (paths, cx.problems.len())
    }

    #[test]
    fn one_alone_or_all_below() {
        let (paths, problems) = read(&["/a", "/b/*"]);
        assert_eq!(problems, 0);
        for path in ["/a", "/b", "/b/", "/b/c/d"] {
            assert!(paths.contain(path.as_bytes()), "{path}");
        }
        for path in ["/a/", "/a/b", "/bc", "/", ""] {
            assert!(!paths.contain(path.as_bytes()), "{path}");
        }
        assert!(read(&["/*"]).0.contain(b"/x"));
        assert_eq!(read(&["a", "*", "/a*", "/*/b"]).1, 4);
    }
}

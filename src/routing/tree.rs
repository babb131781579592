//! The path patterns of one host, as a tree of segments.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use smallvec::SmallVec;

use super::pattern::{PathPattern, Segment, Shape, split_segment};

/// A map by bytes that the configuration chose. What is looked up comes from the network, but
/// nothing of it is ever put in, so that a keyed hash would guard against nobody.
pub(super) type BytesMap<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<FoldHasher>>;

/// Multiplies and folds, eight bytes at a time.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FoldHasher(u64);

/// An odd number whose bits look random: the golden ratio's fraction.
const FOLD: u128 = 0x9E37_79B9_7F4A_7C15;

impl FoldHasher {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product of two 64-bit numbers fits 128 bits; its halves are folded"
    )]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * FOLD;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = 0;
        for &byte in rest {
            last = (last << 8) | u64::from(byte);
        }
        self.mix(last);
    }

    fn write_usize(&mut self, number: usize) {
        // The length in front of the bytes; added to zero, it must not come out as zero.
        self.0 = self.0.wrapping_add(number as u64).wrapping_add(1);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A rule, by its place in the table.
pub(super) type RuleId = u32;

/// The path patterns of one host.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    /// Expressions in the order of the file.
    regexes: Vec<Expression>,
}

/// Where an expression stands.
#[derive(Debug)]
struct Expression {
    rule: RuleId,
    /// Every path it matches starts with this.
    prefix: Box<[u8]>,
    /// How many whole segments of it are literal.
    depth: usize,
}

/// What may follow after the same segments. Lists of rules are in order of precedence.
#[derive(Debug, Default)]
struct Node {
    literals: BytesMap<Self>,
    param: Option<Box<Self>>,
    /// `*` here.
    rest: Vec<RuleId>,
    /// The pattern ends here, written without and with a slash.
    end: Vec<RuleId>,
    end_slash: Vec<RuleId>,
}

impl Tree {
    /// Adds a rule. Rules that share a pattern must come in order of precedence, expressions in
    /// that of the file.
    pub(super) fn insert(&mut self, pattern: &PathPattern, rule: RuleId) {
        let segments = match &pattern.shape {
            Shape::Segments(segments) => segments,
            Shape::Regex(regex) => {
                self.regexes.push(Expression {
                    rule,
                    prefix: regex.prefix.clone(),
                    depth: regex.depth,
                });
                return;
            }
        };
        let mut node = &mut self.root;
        for segment in &segments.list {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        match (&segments.rest, segments.slash) {
            (Some(_), _) => node.rest.push(rule),
            (None, false) => node.end.push(rule),
            (None, true) => node.end_slash.push(rule),
        }
    }

    /// Shows every rule whose pattern matches the path, in order of precedence, until `visit`
    /// says true; whether it did. Expressions are shown unmatched.
    pub(super) fn visit(&self, path: &[u8], visit: impl FnMut(RuleId) -> bool) -> bool {
        let Some(text) = path.strip_prefix(b"/") else {
            // `*` and authorities are no paths.
            return false;
        };
        let (text, slash) = match text.strip_suffix(b"/") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut walk = Walk {
            tree: self,
            path,
            slash,
            regexes: None,
            visit,
        };
        let left = (!text.is_empty()).then_some(text);
        walk.node(&self.root, left, 0, true)
    }

    /// The expressions that may match this path, the last first, each with the depth at which
    /// it is due: where it is literal to, or one behind it in the file is. So they keep the
    /// order of the file among themselves.
    fn expressions(&self, path: &[u8]) -> SmallVec<[(RuleId, usize); 8]> {
        let may_match = self.regexes.iter().rev();
        let may_match = may_match.filter(|expression| path.starts_with(&expression.prefix));
        let mut due = 0;
        may_match
            .map(|expression| {
                due = due.max(expression.depth);
                (expression.rule, due)
            })
            .collect()
    }
}

struct Walk<'t, F> {
    tree: &'t Tree,
    path: &'t [u8],
    slash: bool,
    /// Expressions not tried yet, the last first, each with the depth at which it is due.
    regexes: Option<SmallVec<[(RuleId, usize); 8]>>,
    visit: F,
}

impl<F: FnMut(RuleId) -> bool> Walk<'_, F> {
    /// Visits what matches from this node on. `left` is the path behind the node, without the
    /// slash in front; `literal` says whether the way here had literal segments only.
    ///
    /// As deep as the deepest pattern at most, and at each depth once with the literal and once
    /// with the parameter: never more often than the tree has nodes.
    fn node(&mut self, node: &Node, left: Option<&[u8]>, depth: usize, literal: bool) -> bool {
        let (same, other) = if self.slash {
            (&node.end_slash, &node.end)
        } else {
            (&node.end, &node.end_slash)
        };
        let step = left.map(split_segment);
        let deeper = depth.saturating_add(1);
        let found = match step {
            None => self.rules(same),
            Some((segment, tail)) => node
                .literals
                .get(segment)
                .is_some_and(|child| self.node(child, tail, deeper, literal)),
        };
        if found || (literal && self.regexes(depth)) {
            return true;
        }
        if let (Some((segment, tail)), Some(child)) = (step, &node.param)
            && !segment.is_empty()
            && self.node(child, tail, deeper, false)
        {
            return true;
        }
        self.rules(&node.rest) || (step.is_none() && self.rules(other))
    }

    /// Visits the expressions that are due at this depth or deeper.
    fn regexes(&mut self, depth: usize) -> bool {
        if self.tree.regexes.is_empty() {
            return false;
        }
        let (tree, path) = (self.tree, self.path);
        let left = self.regexes.get_or_insert_with(|| tree.expressions(path));
        while let Some(&(rule, due)) = left.last()
            && due >= depth
        {
            left.pop();
            if (self.visit)(rule) {
                return true;
            }
        }
        false
    }

    fn rules(&mut self, rules: &[RuleId]) -> bool {
        rules.iter().any(|&rule| (self.visit)(rule))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, Hash};

    use super::*;

    #[test]
    fn like_names_have_unlike_hashes() {
        let build = BuildHasherDefault::<FoldHasher>::default();
        let mut hashes: Vec<u64> = (0..100_000)
            .map(|n: u32| build.hash_one(format!("segment-{n}").as_bytes()))
            .chain([b"".hash_one(&build), b"\0".hash_one(&build)])
            .map(|hash| hash & 0xFFFF_FFFF)
            .collect();
        let all = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        // Of 100,000 random numbers of 32 bits about one pair is expected to be equal.
        assert!(all - hashes.len() < 10, "{}", all - hashes.len());
    }

    trait HashOne: Hash {
        fn hash_one(&self, build: &BuildHasherDefault<FoldHasher>) -> u64 {
            build.hash_one(self)
        }
    }

    impl<const N: usize> HashOne for &[u8; N] {}

    #[track_caller]
    fn check(patterns: &[&str], path: &str, expected: &[&str]) {
        let mut tree = Tree::default();
        for (id, pattern) in (0..).zip(patterns) {
            let pattern = match pattern.strip_prefix('^') {
                Some(_) => PathPattern::regex(pattern),
                None => PathPattern::parse(pattern),
            };
            tree.insert(&pattern.unwrap(), id);
        }
        let mut found: Vec<&str> = Vec::new();
        tree.visit(path.as_bytes(), |rule| {
            found.extend(patterns.get(rule as usize));
            false
        });
        assert_eq!(found, expected, "{path}");
    }

    fn nodes(node: &Node) -> usize {
        let below = node.literals.values().chain(node.param.as_deref());
        below.map(nodes).fold(1, usize::saturating_add)
    }

    #[test]
    fn ten_thousand_patterns_are_a_node_a_segment_and_only_those_that_match_are_shown() {
        for count in [10, 10_000] {
            let mut tree = Tree::default();
            for rule in 0..count {
                let text = match rule % 2 {
                    0 => format!("/section-{rule}/about"),
                    _ => format!("/section-{rule}/items/:id"),
                };
                tree.insert(&PathPattern::parse(&text).unwrap(), rule);
            }
            let segments = (0..count).map(|rule| if rule % 2 == 0 { 2 } else { 3 });
            assert_eq!(nodes(&tree.root), segments.fold(1, usize::saturating_add));
            let mut shown = Vec::new();
            tree.visit(b"/section-7/items/4711", |rule| {
                shown.push(rule);
                false
            });
            assert_eq!(shown, [7], "of {count}");
        }
    }

    #[test]
    fn literal_before_param_before_rest() {
        let patterns = ["/*", "/:a", "/a/*", "/:a/b", "/a/:b", "/a/b", "/a", "/"];
        let all = ["/a/b", "/a/:b", "/a/*", "/:a/b", "/*"];
        check(&patterns, "/a/b", &all);
        check(&patterns, "/a/c", &["/a/:b", "/a/*", "/*"]);
        check(&patterns, "/x/b", &["/:a/b", "/*"]);
        check(&patterns, "/a", &["/a", "/a/*", "/:a", "/*"]);
        check(&patterns, "/", &["/", "/*"]);
        check(&patterns, "/ab", &["/:a", "/*"]);
        check(&patterns, "*", &[]);
        check(&patterns, "", &[]);
    }

    #[test]
    fn prefixes_end_at_segments() {
        let patterns = ["/api/*"];
        check(&patterns, "/api", &patterns);
        check(&patterns, "/api/", &patterns);
        check(&patterns, "/api/x/y", &patterns);
        check(&patterns, "/apix", &[]);
        check(&patterns, "/ap", &[]);
    }

    #[test]
    fn the_slash_behind_chooses_but_does_not_refuse() {
        check(&["/a", "/a/"], "/a", &["/a", "/a/"]);
        check(&["/a", "/a/"], "/a/", &["/a/", "/a"]);
        check(&["/a", "/a/*", "/*"], "/a/", &["/a/*", "/a", "/*"]);
        check(&["/a/", "/a/*", "/*"], "/a", &["/a/*", "/a/", "/*"]);
        check(&["/:a"], "/a/", &["/:a"]);
    }

    #[test]
    fn expressions_stand_before_wildcards_of_the_same_or_a_shorter_prefix() {
        let patterns = ["^/u/[0-9]+$", "/u/:id", "/u/*", "/u/7", "/*", "^/a"];
        check(
            &patterns,
            "/u/7",
            &["/u/7", "^/u/[0-9]+$", "/u/:id", "/u/*", "/*"],
        );
        // The tree has no `/ab`, so that the walk ends early.
        check(&patterns, "/ab/c", &["^/a", "/*"]);
        // Below a parameter none is tried twice.
        check(
            &["^/[a-z]", "/:a/b/c", "/:a/:b/*"],
            "/x/b/c",
            &["^/[a-z]", "/:a/b/c", "/:a/:b/*"],
        );
    }

    #[test]
    fn expressions_keep_the_order_of_the_file() {
        // One that cannot match the path draws none forward.
        check(
            &["^/[a-z]+/", "^/z/b/x?", "/a/*"],
            "/a/b/c",
            &["/a/*", "^/[a-z]+/"],
        );
        check(
            &["^/[a-z]+/", "^/a/b/x?", "/a/*", "/a/b/*", "/a/b/c"],
            "/a/b/c",
            &["/a/b/c", "^/[a-z]+/", "^/a/b/x?", "/a/b/*", "/a/*"],
        );
        check(
            &["^/a/b/x?", "^/[a-z]+/", "/a/*", "/a/b/*"],
            "/a/b/c",
            &["^/a/b/x?", "/a/b/*", "/a/*", "^/[a-z]+/"],
        );
    }
}

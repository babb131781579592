//! The trees of a table, by host.

use super::host::{HOST_BYTES_MAX, HostPattern};
use super::rule::Rule;
use super::tree::{BytesMap, RuleId, Tree};

/// The trees of a table, by host.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: BytesMap<Tree>,
    /// By what stands behind `*.`.
    wildcard: BytesMap<Tree>,
    any: Tree,
}

impl Index {
    /// Indexes rules. The number of a rule is its place in this slice.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut order: Vec<(RuleId, &Rule)> = (0..).zip(rules).collect();
        order.sort_by_key(|(_, rule)| among_equals(rule));
        let mut index = Self::default();
        for (id, rule) in order {
            for host in &rule.hosts {
                let tree = match host {
                    HostPattern::Exact(name) => {
                        index.exact.entry(name.as_bytes().into()).or_default()
                    }
                    HostPattern::Wildcard(below) => {
                        index.wildcard.entry(below.as_bytes().into()).or_default()
                    }
                    HostPattern::Any => &mut index.any,
                };
                tree.insert(&rule.path, id);
            }
            if rule.hosts.is_empty() {
                index.any.insert(&rule.path, id);
            }
        }
        index
    }

    /// Shows every rule whose host and path match, in order of precedence but for `priority`,
    /// until `visit` says true. Expressions are shown unmatched; a rule with several hosts may
    /// be shown more than once.
    pub(super) fn visit<'h>(
        &self,
        host: impl FnOnce() -> &'h str,
        path: &[u8],
        mut visit: impl FnMut(RuleId) -> bool,
    ) {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            self.any.visit(path, visit);
            return;
        }
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = lower(host(), &mut buffer);
        let exact = self.exact.get(host);
        if exact.is_some_and(|tree| tree.visit(path, &mut visit)) {
            return;
        }
        if !self.wildcard.is_empty() {
            let mut below = host;
            while let Some(dot) = memchr::memchr(b'.', below) {
                let (label, rest) = below.split_at(dot);
                below = rest.get(1..).unwrap_or_default();
                let tree = self.wildcard.get(below).filter(|_| !label.is_empty());
                if tree.is_some_and(|tree| tree.visit(path, &mut visit)) {
                    return;
                }
            }
        }
        self.any.visit(path, visit);
    }
}

/// What decides between rules with the same host and pattern; and, for expressions, the order
/// of the file alone.
pub(super) fn among_equals(rule: &Rule) -> impl Ord + use<> {
    let specific = (
        rule.methods.is_empty(),
        std::cmp::Reverse((rule.headers.len(), rule.query.len())),
    );
    ((!rule.path.is_regex()).then_some(specific), rule.position)
}

/// The host in lower case without the dot behind it; nothing if it is longer than a host can be.
fn lower<'b>(host: &'b str, buffer: &'b mut [u8; HOST_BYTES_MAX]) -> &'b [u8] {
    let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
    if !host.iter().any(u8::is_ascii_uppercase) {
        return host;
    }
    let Some(copy) = buffer.get_mut(..host.len()) else {
        return b"";
    };
    copy.copy_from_slice(host);
    copy.make_ascii_lowercase();
    copy
}

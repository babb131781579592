//! A route and what a request must be for it to answer.

use std::sync::Arc;

use super::host::HostPattern;
use super::matcher::{FieldMatch, QueryMatch};
use super::pattern::PathPattern;
use super::route::Route;
use crate::http::Method;

/// One `[[route]]` of a configuration, on one listener.
///
/// Of the rules that match a request the first in this order answers:
/// 1. the higher `priority`;
/// 2. host: exact, then wildcards, the longest first, then any;
/// 3. path, see [`PathPattern`]: exact, then segment by segment literal before `:name` before
///    `*`. An expression comes before the patterns whose first `:name` or `*` stands no further
///    in than the expression is literal. Expressions keep the order of the file among
///    themselves: where a later one comes that far forward, those in front of it do too;
/// 4. rules that name methods before those that do not; then those that ask for more fields;
///    then those that ask for more of the query;
/// 5. the order of the file.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For which hosts; empty for all.
    pub hosts: Vec<HostPattern>,
    /// For which paths.
    pub path: PathPattern,
    /// For which methods; empty for all. HEAD goes with GET.
    pub methods: Vec<Method>,
    /// What the fields must be: all of these.
    pub headers: Vec<FieldMatch>,
    /// What the query must be: all of these.
    pub query: Vec<QueryMatch>,
    /// A rule with a higher one comes first, whatever else it says. 0 by default.
    pub priority: i32,
    /// Where it stands in the file.
    pub position: usize,
    /// What answers.
    pub route: Arc<Route>,
}

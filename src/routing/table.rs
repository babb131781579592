//! Lookup.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::Chain;
use super::index::Index;
use super::matcher::{FieldMatch, QueryMatch};
use super::methods::Methods;
use super::pattern::{PathPattern, Shape};
use super::route::Route;
use super::rule::Rule;
use super::tree::RuleId;
use crate::exchange::Params;
use crate::http::{Method, RequestHead, name};

/// The compiled routes of a listener. In which order they answer is told at [`Rule`].
///
/// A lookup costs what its path costs, however many routes there are, and allocates nothing
/// unless something is captured.
pub struct Table {
    misses: Chain,
    index: Arc<Index>,
    entries: Box<[Entry]>,
    /// Whether any rule has a priority: then the first match is not the answer yet.
    ranked: bool,
}

/// What of a rule is needed for a lookup.
#[derive(Debug, Clone)]
struct Entry {
    path: PathPattern,
    /// Empty for all.
    methods: Methods,
    headers: Box<[FieldMatch]>,
    query: Box<[QueryMatch]>,
    priority: i32,
    route: Arc<Route>,
}

/// What a lookup came to.
#[derive(Debug)]
pub enum Found<'t> {
    /// This route answers.
    Route(&'t Arc<Route>),
    /// OPTIONS for a path whose routes do not name it: 204 with this `Allow`, in the chain of
    /// the route that would answer the preflighted method (or the first one).
    Options(&'t Arc<Route>, String),
    /// The path has routes, but none for the method: 405 with this `Allow`.
    MethodNotAllowed(String),
    /// No route matches: 404.
    NotFound,
}

impl Table {
    /// Compiles rules. `misses` is the chain of what no rule answers.
    pub fn new(rules: &[Rule], misses: Chain) -> Self {
        Self {
            misses,
            index: Arc::new(Index::new(rules)),
            entries: rules.iter().map(Entry::new).collect(),
            ranked: rules.iter().any(|rule| rule.priority != 0),
        }
    }

    /// The same table for one more worker: with expressions of its own, whose caches it shares
    /// with no other thread.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self {
            misses: self.misses.clone(),
            index: Arc::clone(&self.index),
            entries: self.entries.clone(),
            ranked: self.ranked,
        }
    }

    /// The chain of misses (404, 405).
    pub fn misses(&self) -> &Chain {
        &self.misses
    }

    /// Finds the route of a request and fills in what its pattern captured.
    ///
    /// Rules that match host, path, fields and query but not the method are passed over: they
    /// make a 405 only if no other answers. OPTIONS goes to a rule that names it or takes every
    /// method; if there is none, or if the method that a CORS preflight asks for would be
    /// answered by a rule in front of it, the answer is [`Found::Options`].
    pub fn find<'t>(&'t self, request: &RequestHead, params: &mut Params<'t>) -> Found<'t> {
        params.clear();
        let path = request.target.path();
        let mut search = Search::new(request);
        if self.ranked {
            let mut candidates: SmallVec<[(RuleId, i32); 16]> = SmallVec::new();
            self.index.visit(
                || request.host(),
                path,
                |id| {
                    let priority = self.entry(id).map_or(0, |entry| entry.priority);
                    candidates.push((id, priority));
                    false
                },
            );
            candidates.sort_by_key(|&(_, priority)| std::cmp::Reverse(priority));
            let mut entries = candidates.iter().filter_map(|&(id, _)| self.entry(id));
            entries.any(|entry| search.consider(entry).is_break());
        } else {
            self.index.visit(
                || request.host(),
                path,
                |id| {
                    self.entry(id)
                        .is_some_and(|entry| search.consider(entry).is_break())
                },
            );
        }
        search.conclude(path, params)
    }

    fn entry(&self, id: RuleId) -> Option<&Entry> {
        self.entries.get(id as usize)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} rules)", self.entries.len())
    }
}

impl Entry {
    fn new(rule: &Rule) -> Self {
        Self {
            path: rule.path.clone(),
            methods: Methods::new(&rule.methods),
            headers: rule.headers.clone().into(),
            query: rule.query.clone().into(),
            priority: rule.priority,
            route: Arc::clone(&rule.route),
        }
    }

    /// Whether all but the method matches; host and segments have already.
    fn matches(&self, request: &RequestHead) -> bool {
        let path = match &self.path.shape {
            Shape::Segments(_) => true,
            Shape::Regex(regex) => regex.is_match(request.target.path()),
        };
        path && self
            .headers
            .iter()
            .all(|field| field.matches(&request.headers))
            && self
                .query
                .iter()
                .all(|parameter| parameter.matches(request.target.query()))
    }

    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// What is known while candidates are considered, the best first.
struct Search<'t, 'r> {
    request: &'r RequestHead,
    /// The method that a CORS preflight asks for.
    preflighted: Option<Method>,
    answer: Option<&'t Entry>,
    /// The first that would answer the preflighted method, and does not take OPTIONS.
    preflight: Option<&'t Entry>,
    /// The first that did not take the method.
    refused: Option<&'t Entry>,
    /// What those that did not take the method would take.
    allowed: Methods,
}

impl<'t, 'r> Search<'t, 'r> {
    fn new(request: &'r RequestHead) -> Self {
        let preflighted = (request.method == Method::Options)
            .then(|| request.headers.get(&name::ACCESS_CONTROL_REQUEST_METHOD))
            .flatten()
            .and_then(Method::from_bytes);
        Self {
            request,
            preflighted,
            answer: None,
            preflight: None,
            refused: None,
            allowed: Methods::default(),
        }
    }

    /// Takes a candidate into account; breaks once the answer is known.
    fn consider(&mut self, entry: &'t Entry) -> ControlFlow<()> {
        if !entry.matches(self.request) {
            return ControlFlow::Continue(());
        }
        if entry.takes(&self.request.method) {
            self.answer = Some(entry);
            return ControlFlow::Break(());
        }
        self.refused.get_or_insert(entry);
        self.allowed.extend(&entry.methods);
        if let Some(method) = &self.preflighted
            && entry.takes(method)
        {
            self.preflight.get_or_insert(entry);
        }
        ControlFlow::Continue(())
    }

    fn conclude(mut self, path: &[u8], params: &mut Params<'t>) -> Found<'t> {
        if let Some(answer) = self.answer {
            // One that names OPTIONS was meant for it; one that takes everything was not.
            let preflight = self.preflight.filter(|_| answer.methods.is_empty());
            let Some(preflight) = preflight else {
                answer.path.capture(path, params);
                return Found::Route(&answer.route);
            };
            self.refused = Some(preflight);
        }
        let Some(refused) = self.preflight.or(self.refused) else {
            return Found::NotFound;
        };
        // OPTIONS itself is always answered.
        self.allowed.insert(&Method::Options);
        if self.request.method == Method::Options {
            refused.path.capture(path, params);
            return Found::Options(&refused.route, self.allowed.list());
        }
        Found::MethodNotAllowed(self.allowed.list())
    }
}

#[cfg(test)]
mod tests;

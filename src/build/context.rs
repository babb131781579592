//! What the kinds are given while they read their settings and while they are built.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{CarryOver, Files, MemorySinks, Problem, Sinks, Span, Toggle};

/// Given to [`super::Kind::parse`]: the names there are, and where mistakes go.
#[derive(Debug)]
pub struct ParseContext<'a> {
    /// The names of all upstreams in the configuration.
    pub upstreams: &'a [Arc<str>],
    /// Those of them that something asked for.
    pub upstreams_used: HashSet<Arc<str>>,
    /// Strings into which a variable of the environment was put.
    pub substituted: &'a HashSet<Span>,
    /// Those of them that were read as a number or a truth.
    pub unquoted: HashSet<Span>,
    /// What the pattern of the route captures, while its handler is parsed; `None` where that is
    /// not known (middleware may serve several routes).
    pub captures: Option<Vec<Arc<str>>>,
    /// Every mistake found so far.
    pub problems: Vec<Problem>,
    /// The keys that settings were read for, for the test of the reference.
    #[cfg(test)]
    pub fields: std::collections::BTreeSet<String>,
}

impl Default for ParseContext<'_> {
    fn default() -> Self {
        static NONE: LazyLock<HashSet<Span>> = LazyLock::new(HashSet::new);
        Self {
            upstreams: &[],
            upstreams_used: HashSet::new(),
            substituted: &NONE,
            unquoted: HashSet::new(),
            captures: None,
            problems: Vec::new(),
            #[cfg(test)]
            fields: std::collections::BTreeSet::new(),
        }
    }
}

/// Given to [`super::Settings::build`].
#[derive(Debug)]
pub struct BuildContext<'a> {
    /// State kept from the generation before.
    pub carry_over: &'a mut CarryOver,
    /// Where relative paths start: the folder of the configuration file.
    pub base: PathBuf,
    /// The name of the instance or route that is being built; the key for `carry_over`.
    pub name: Arc<str>,
    /// What the control plane shall run now and then for this generation.
    pub probes: Vec<Arc<dyn Probe>>,
    /// What an operator can turn on and off.
    pub toggles: Vec<Arc<dyn Toggle>>,
    /// What is hardly what was meant, found only while building.
    pub warnings: Vec<Problem>,
    /// What was read beside the configuration; all of it is watched.
    pub files: Files,
    /// Where logs are opened; in memory unless the control plane gave its own.
    pub sinks: Arc<dyn Sinks>,
    provided: HashMap<(TypeId, Box<str>), Arc<dyn Any + Send + Sync>>,
}

impl<'a> BuildContext<'a> {
    /// A context whose relative paths start at `base`.
    pub fn new(carry_over: &'a mut CarryOver, base: PathBuf) -> Self {
        Self {
            carry_over,
            base,
            name: Arc::from(""),
            probes: Vec::new(),
            toggles: Vec::new(),
            warnings: Vec::new(),
            files: Files::default(),
            sinks: Arc::new(MemorySinks::default()),
            provided: HashMap::new(),
        }
    }

    /// The path, from the folder of the configuration file if it is relative.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Reads a file of at most so many bytes. It is watched: when it changes, everything is built
    /// anew. A mistake is reported at `span`.
    ///
    /// # Errors
    /// It cannot be read, or is larger.
    pub fn read(
        &mut self,
        path: &Path,
        bytes_max: u64,
        span: &Span,
    ) -> Result<Vec<u8>, Box<Problem>> {
        let path = self.path(path);
        self.files.read(&path, bytes_max).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Box::new(Problem::error("E0201", span.clone(), message))
        })
    }

    /// Lets what is built later find this by type and name: upstreams for the proxy.
    pub fn provide<T: Any + Send + Sync>(&mut self, name: &str, thing: Arc<T>) {
        self.provided
            .insert((TypeId::of::<T>(), name.into()), thing);
    }

    /// What was provided under this name.
    pub fn provided<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        let any = self.provided.get(&(TypeId::of::<T>(), name.into()))?;
        Arc::clone(any).downcast().ok()
    }
}

/// Something the control plane runs at intervals, off the path of every request: a health check.
/// It keeps what it found in state that it shares with who asked for it.
pub trait Probe: Send + Sync + fmt::Debug {
    /// What it is, for the log.
    fn name(&self) -> String;

    /// How long to wait between two runs.
    fn interval(&self) -> Duration;

    /// Runs once. May block, but no longer than its own timeout.
    fn run(&self);
}

impl ParseContext<'_> {
    /// Reports a value that cannot be.
    pub fn refuse(
        &mut self,
        section: &super::Section<'_>,
        at: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = Problem::error("E0002", section.at(at), message);
        self.problems.push(problem.hint(hint));
    }

    /// Checks that an upstream of this name exists; reports it with the nearest name if not.
    pub fn upstream(
        &mut self,
        section: &super::Section<'_>,
        name: &toml::Spanned<String>,
    ) -> Option<Arc<str>> {
        let wanted = name.get_ref().as_str();
        if let Some(found) = self.upstreams.iter().find(|known| ***known == *wanted) {
            self.upstreams_used.insert(Arc::clone(found));
            return Some(Arc::clone(found));
        }
        let span = section.at(name.span());
        let message = format!("there is no upstream `{wanted}`");
        let problem = Problem::error("E0102", span, message).label("not known");
        self.problems.push(
            match nearest(wanted, self.upstreams.iter().map(|name| &**name)) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("define it: [upstream.{wanted}]")),
            },
        );
        None
    }
}

impl ParseContext<'_> {
    /// Checks that the route's pattern captures these names; reports each that it does not.
    pub fn captured(&mut self, span: &Span, names: &[&str]) -> bool {
        let Some(captures) = &self.captures else {
            return true;
        };
        let before = self.problems.len();
        for name in names {
            if captures.iter().any(|known| **known == **name) {
                continue;
            }
            let message = format!("the path of the route captures no `{name}`");
            let hint = match nearest(name, captures.iter().map(|name| &**name)) {
                Some(near) => format!("did you mean `{{path.{near}}}`?"),
                None => format!("capture it: `:{name}` for a segment, `*{name}` for the rest"),
            };
            let problem = Problem::error("E0002", span.clone(), message);
            self.problems.push(problem.hint(hint));
        }
        self.problems.len() == before
    }
}

/// The known name most like the wanted one, if any is like it at all.
pub fn nearest<'n>(wanted: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

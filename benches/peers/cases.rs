//! What is measured.

/// The content of the fixed and the small proxied response.
pub(crate) const BODY_FIXED: &str = "Hello, world!\n";

/// The length of the large proxied response.
pub(crate) const BODY_LARGE: usize = 1024 * 1024;

const KIB: usize = 1024;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its name, also for `--only`.
    pub(crate) name: &'static str,
    /// What the server has to do.
    pub(crate) work: Work,
    /// With an access log in the combined format (or the peer's own), written to a file.
    pub(crate) logged: bool,
}

/// What a server has to do to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Answer what stands in its configuration.
    Fixed,
    /// Answer a file of this many bytes.
    File(usize),
    /// Ask an upstream, whose answer has this many bytes.
    Proxy(usize),
}

impl Work {
    /// The path that asks for it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed",
            Self::File(1..=KIB) => "/files/1k.txt",
            Self::File(0..=102_400) => "/files/100k.txt",
            Self::File(_) => "/files/10m.txt",
            Self::Proxy(0..=KIB) => "/proxy/small",
            Self::Proxy(_) => "/proxy/large",
        }
    }

    /// The length of the body of the answer.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Fixed => BODY_FIXED.len(),
            Self::File(length) | Self::Proxy(length) => length,
        }
    }
}

/// Every case, in the order of the table.
pub(crate) const ALL: [Case; 9] = [
    case("fixed", Work::Fixed, false),
    case("fixed-logged", Work::Fixed, true),
    case("file-1k", Work::File(KIB), false),
    case("file-1k-logged", Work::File(KIB), true),
    case("file-100k", Work::File(100 * KIB), false),
    case("file-10m", Work::File(10 * KIB * KIB), false),
    case("proxy-small", Work::Proxy(BODY_FIXED.len()), false),
    case("proxy-small-logged", Work::Proxy(BODY_FIXED.len()), true),
    case("proxy-1m", Work::Proxy(BODY_LARGE), false),
];

const fn case(name: &'static str, work: Work, logged: bool) -> Case {
    Case { name, work, logged }
}

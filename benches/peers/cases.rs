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
    /// Answer the same behind eight middlewares; nobody else has these.
    Eight,
    /// Answer a text of this many bytes, compressed with gzip at level 6 for each request.
    Gzip(usize),
    /// Ask an upstream, whose answer has this many bytes.
    Proxy(usize),
}

impl Work {
    /// The path that asks for it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed",
            Self::Eight => "/eight",
            Self::Gzip(_) => "/gzip/20k.txt",
            Self::File(1..=KIB) => "/files/1k.txt",
            Self::File(0..=102_400) => "/files/100k.txt",
            Self::File(_) => "/files/10m.txt",
            Self::Proxy(0..=KIB) => "/proxy/small",
            Self::Proxy(_) => "/proxy/large",
        }
    }

    /// Whether this is the length of the body of the answer.
    pub(crate) fn has_length(self, answered: usize) -> bool {
        match self {
            Self::Fixed | Self::Eight => answered == BODY_FIXED.len(),
            Self::File(length) | Self::Proxy(length) => answered == length,
            // Each has an encoder of its own.
            Self::Gzip(length) => (length / 10..length).contains(&answered),
        }
    }
}

/// Every case, in the order of the table.
pub(crate) const ALL: [Case; 11] = [
    case("fixed", Work::Fixed, false),
    case("fixed-logged", Work::Fixed, true),
    case("fixed-eight", Work::Eight, false),
    case("file-1k", Work::File(KIB), false),
    case("file-1k-logged", Work::File(KIB), true),
    case("file-100k", Work::File(100 * KIB), false),
    case("file-10m", Work::File(10 * KIB * KIB), false),
    case("gzip-20k", Work::Gzip(20 * KIB), false),
    case("proxy-small", Work::Proxy(BODY_FIXED.len()), false),
    case("proxy-small-logged", Work::Proxy(BODY_FIXED.len()), true),
    case("proxy-1m", Work::Proxy(BODY_LARGE), false),
];

const fn case(name: &'static str, work: Work, logged: bool) -> Case {
    Case { name, work, logged }
}

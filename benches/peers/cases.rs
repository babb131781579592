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
    /// Which of the server's listeners is asked.
    pub(crate) face: Face,
    /// How it is asked.
    pub(crate) load: Load,
}

/// A listener of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Without anything else.
    Quiet,
    /// With an access log in the combined format (or the peer's own), written to a file.
    Logged,
    /// Over TLS, without an access log.
    Tls,
}

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// HTTP/1.1 on connections that stay open.
    KeepAlive,
    /// HTTP/2, several streams on each of a few connections that stay open.
    Http2,
    /// One request a connection, with a full handshake.
    Full,
    /// One request a connection, with a handshake that resumes a session.
    Resumed,
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
pub(crate) const ALL: [Case; 16] = [
    plain("fixed", Work::Fixed),
    logged("fixed-logged", Work::Fixed),
    plain("fixed-eight", Work::Eight),
    plain("file-1k", Work::File(KIB)),
    logged("file-1k-logged", Work::File(KIB)),
    plain("file-100k", Work::File(100 * KIB)),
    plain("file-10m", Work::File(10 * KIB * KIB)),
    plain("gzip-20k", Work::Gzip(20 * KIB)),
    plain("proxy-small", Work::Proxy(BODY_FIXED.len())),
    logged("proxy-small-logged", Work::Proxy(BODY_FIXED.len())),
    plain("proxy-1m", Work::Proxy(BODY_LARGE)),
    secure("tls-file-1k", Work::File(KIB), Load::KeepAlive),
    secure("tls-full", Work::Fixed, Load::Full),
    secure("tls-resumed", Work::Fixed, Load::Resumed),
    secure("h2-file-1k", Work::File(KIB), Load::Http2),
    secure("h2-proxy-small", Work::Proxy(BODY_FIXED.len()), Load::Http2),
];

const fn plain(name: &'static str, work: Work) -> Case {
    case(name, work, Face::Quiet, Load::KeepAlive)
}

const fn logged(name: &'static str, work: Work) -> Case {
    case(name, work, Face::Logged, Load::KeepAlive)
}

const fn secure(name: &'static str, work: Work, load: Load) -> Case {
    case(name, work, Face::Tls, load)
}

const fn case(name: &'static str, work: Work, face: Face, load: Load) -> Case {
    Case {
        name,
        work,
        face,
        load,
    }
}

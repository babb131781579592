//! Request targets in their four forms (RFC 9112 §3.2), decoded and normalised in one pass.

/// Which of the four forms a target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`, as sent to a proxy.
    Absolute,
    /// `host:port`, for CONNECT.
    Authority,
    /// `*`, for a server-wide OPTIONS.
    Asterisk,
}

/// Why a target was refused. Always the client's fault: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// None of the four forms.
    Form,
    /// A byte that RFC 3986 does not allow where it stands.
    Byte,
    /// `%` without two hexadecimal digits.
    PercentEncoding,
    /// `..` above the root.
    AboveRoot,
    /// An authority that is none.
    Authority,
}

/// A request target that was read and found valid.
#[derive(Debug, Clone, Default)]
pub struct Target {
    form: Form,
    raw: String,
    scheme: (u32, u32),
    authority: (u32, u32),
    raw_path: (u32, u32),
    query: Option<(u32, u32)>,
    /// The decoded, normalised path.
    path: Vec<u8>,
    encoded_separator: bool,
    normalised: bool,
}

impl Target {
    /// Reads a target into these buffers.
    ///
    /// The path is percent-decoded and normalised: `.` and `..` segments are resolved and
    /// repeated slashes made one. An encoded `/` (`%2F`) stays encoded, so that a segment stays
    /// a segment; [`Self::has_encoded_separator`] tells of it.
    pub fn parse(&mut self, _raw: &[u8]) -> Result<(), TargetError> {
        Err(TargetError::Form)
    }

    /// Which form it has.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The target as the client wrote it.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The scheme of an absolute-form target, lower-case or not as written.
    pub fn scheme(&self) -> Option<&str> {
        (self.form == Form::Absolute).then(|| self.slice(self.scheme))
    }

    /// The authority of an absolute- or authority-form target.
    pub fn authority(&self) -> Option<&str> {
        matches!(self.form, Form::Absolute | Form::Authority).then(|| self.slice(self.authority))
    }

    /// The path, percent-decoded and normalised. Starts with `/` in origin and absolute form,
    /// is empty in the other two. May hold any byte but NUL and what [`Self::parse`] refuses.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path as written, without the query.
    pub fn raw_path(&self) -> &str {
        self.slice(self.raw_path)
    }

    /// Whether normalising changed more than percent-encoding: dot segments or repeated slashes.
    pub fn was_normalised(&self) -> bool {
        self.normalised
    }

    /// Whether the path holds `%2F`, `%5C` or an encoded control byte, NUL included.
    /// What maps paths to files refuses these.
    pub fn has_encoded_separator(&self) -> bool {
        self.encoded_separator
    }

    /// The query without its `?`; `None` if there is no `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.slice(span))
    }

    /// Forgets the target, keeps the capacity.
    pub fn clear(&mut self) {
        self.form = Form::Origin;
        self.raw.clear();
        self.path.clear();
        self.scheme = (0, 0);
        self.authority = (0, 0);
        self.raw_path = (0, 0);
        self.query = None;
        self.encoded_separator = false;
        self.normalised = false;
    }

    fn slice(&self, (start, end): (u32, u32)) -> &str {
        self.raw
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

/// Splits `host:port`, brackets of an IPv6 address kept: `("[::1]", Some("80"))`.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    let from = authority.rfind(']').unwrap_or(0);
    match authority[from..].rfind(':') {
        Some(colon) => (
            &authority[..from + colon],
            Some(&authority[from + colon + 1..]),
        ),
        None => (authority, None),
    }
}

//! A response as a client reads it.

/// A response, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// As it was sent, with the empty line that ends it.
    pub(crate) text: String,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head that is all there.
    #[track_caller]
    pub(crate) fn parse(text: String) -> Self {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: `{line}`"));
        let fields = lines.map(field).collect();
        Self {
            text,
            status,
            fields,
        }
    }

    /// The value of the first field of this name, in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of the first field of this name, in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The name and the value of a field line.
#[track_caller]
pub(crate) fn field(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("no field: `{line}`"));
    (name.to_owned(), value.trim().to_owned())
}

//! Wire cases: text files that say what is sent and what must come back.
//!
//! ```text
//! # A reason, an RFC section.
//! --- the name of a case
//! > GET /ok HTTP/1.1\r\nHost: a\r\n\r\n     bytes to send; \r \n \t \\ \xNN; lines are joined
//! > {65536 x}                               so many times this byte
//! < 200                                     a response with this status
//! < 400 or 200                              the second too, where it arrives in pieces
//! < = ok                                    its content, exactly
//! < + Allow: GET, HEAD                      a field with this value
//! < - Content-Length                        no such field
//! < closed                                  or `open`: another request would be answered
//! ```
//!
//! A status of 1xx, and one with `head` behind it (`200 head`), has no content.

/// One exchange of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) sent: Vec<u8>,
    pub(crate) expected: Vec<Expected>,
    /// The connection can be used again behind it; otherwise it must end.
    pub(crate) open: bool,
}

/// A response that must come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// What may come instead where the request arrives in pieces, the last ones too late.
    pub(crate) early: Option<u16>,
    pub(crate) bodiless: bool,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) present: Vec<(String, String)>,
    pub(crate) absent: Vec<String>,
}

/// Reads the cases of a file.
pub(crate) fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut ended = true;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("--- ") {
            assert!(
                ended,
                "the case before `{name}` says neither closed nor open"
            );
            ended = false;
            let (name, sent, expected) = (name.to_owned(), Vec::new(), Vec::new());
            cases.push(Case {
                name,
                sent,
                expected,
                open: false,
            });
            continue;
        }
        assert!(!ended, "`{line}` belongs to no case");
        let case = cases.last_mut().expect("a case has begun");
        match line.split_at_checked(2) {
            Some(("> ", bytes)) => case.sent.extend(unescape(bytes)),
            Some(("< ", "closed")) => ended = true,
            Some(("< ", "open")) => (case.open, ended) = (true, true),
            Some(("< ", expectation)) => expect(case, expectation),
            _ => panic!("`{line}` is no line of a case"),
        }
    }
    assert!(ended, "the last case says neither closed nor open");
    cases
}

fn expect(case: &mut Case, line: &str) {
    let last = case.expected.last_mut();
    match (line.split_at_checked(2), last) {
        (Some(("= ", body)), Some(last)) => last.body = Some(unescape(body)),
        (Some(("+ ", field)), Some(last)) => {
            let (name, value) = field.split_once(": ").expect("name: value");
            last.present.push((name.to_owned(), value.to_owned()));
        }
        (Some(("- ", name)), Some(last)) => last.absent.push(name.to_owned()),
        _ => {
            let (status, kind) = line.split_once(' ').unwrap_or((line, ""));
            let status: u16 = status.parse().expect("a status");
            let early = kind.strip_prefix("or ");
            let early = early.map(|early| early.parse().expect("a status"));
            let bodiless = kind == "head" || status < 200 || status == 204 || status == 304;
            case.expected.push(Expected {
                status,
                early,
                bodiless,
                ..Expected::default()
            });
        }
    }
}

/// `\r`, `\n`, `\t`, `\\`, `\{`, `\xNN`; `{N c}` stands for so many bytes `c`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let (code, after) = rest.split_at(1);
                rest = after;
                bytes.push(match code {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "\\" => b'\\',
                    "{" => b'{',
                    "x" => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
                    }
                    other => panic!("`\\{other}` is no escape"),
                });
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').expect("a closing brace");
                rest = after;
                let (count, unit) = repeated.split_once(' ').expect("{count bytes}");
                let count: usize = count.parse().expect("a count");
                bytes.extend(unescape(unit).repeat(count));
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

#[test]
fn a_case_is_read() {
    let text = "# why\n--- a\n> G\\r\\x00\n> {3 ab}\n< 400 or 200\n< = o\\n\n< + A: b: c\n\
         < - D\n< 204\n< open\n";
    let first = Expected {
        status: 400,
        early: Some(200),
        bodiless: false,
        body: Some(b"o\n".to_vec()),
        present: vec![("A".to_owned(), "b: c".to_owned())],
        absent: vec!["D".to_owned()],
    };
    let second = Expected {
        status: 204,
        bodiless: true,
        ..Expected::default()
    };
    let case = Case {
        name: "a".to_owned(),
        sent: b"G\r\0ababab".to_vec(),
        expected: vec![first, second],
        open: true,
    };
    assert_eq!(parse(text), [case]);
}

//! A head accepted here is accepted by another parser and read alike: what one server takes for
//! two requests and the next for one is how requests are smuggled.

use httpserverd::http::RequestHead;
use httpserverd::http::h1::head::{HeadLimits, RequestParser};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const HEADS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPOST /a%20b/../c?d=e HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS * HTTP/1.0\r\nX-Empty:\r\nX-Tab: \ta\tb \t\r\n\r\n",
    "CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PUT http://h/x?y HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=\"d\"\r\nA: \u{e4}\r\n\r\nGET /",
];

/// The bytes at which parsers part ways, and a few of no meaning.
const BYTES: &[u8] = b"\r\n \t:\0\x0b\x0c\x1f\x7f\x80\xff/%.?#*@[]\"\\,;=aZ019-_";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_accepted_is_read_alike(
        head in select(HEADS),
        edits in proptest::collection::vec((any::<Index>(), select(BYTES), 0..3_u8), 0..4),
        split in any::<Index>(),
    ) {
        let mut bytes = head.as_bytes().to_vec();
        for (place, byte, edit) in edits {
            let place = place.index(bytes.len());
            match edit {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        let (limits, mut head) = (HeadLimits::default(), RequestHead::default());
        let whole = RequestParser::default().parse(&bytes, &limits, &mut head);

        let (mut parser, mut again) = (RequestParser::default(), RequestHead::default());
        let part = &bytes[..split.index(bytes.len())];
        let in_two = match parser.parse(part, &limits, &mut again) {
            Ok(None) => parser.parse(&bytes, &limits, &mut again),
            early => early,
        };
        prop_assert_eq!(&in_two, &whole);

        if let Ok(Some(length)) = whole {
            let mut fields = [httparse::EMPTY_HEADER; 16];
            let mut oracle = httparse::Request::new(&mut fields);
            // The oracle knows no minor version but these two.
            let minor = bytes.windows(7).position(|w| w == b"HTTP/1.").map(|at| bytes[at + 7]);
            prop_assume!(matches!(minor, Some(b'0' | b'1')));
            prop_assert_eq!(oracle.parse(&bytes), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(oracle.method, Some(head.method.as_str()));
            prop_assert_eq!(oracle.path, Some(head.target.raw()));
            let theirs = oracle.headers.iter().map(|field| (field.name.as_bytes(), field.value));
            prop_assert!(head.headers.iter().eq(theirs));
        }
    }
}

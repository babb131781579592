//! Headers read and written.

use super::checksum::crc32c;
use super::*;

fn tcp(from: &str, to: &str) -> Ends {
    Ends::Tcp {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

/// Reads these bytes whole and in every two pieces, with a request behind them.
#[track_caller]
fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
    let mut followed = bytes.to_vec();
    followed.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let whole = parse(&followed);
    for end in 0..bytes.len() {
        match parse(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some(found)) => panic!("{end} bytes are {found:?}"),
            Err(error) => assert_eq!(whole, Err(error), "of {end} bytes"),
        }
    }
    let (header, used) = whole?.expect("it is whole");
    assert_eq!(used, bytes.len());
    Ok(header)
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, expected: Ends) {
    let header = read(bytes.as_ref()).unwrap();
    assert_eq!(header.ends, expected);
    assert_eq!(header.extensions, None);
}

#[track_caller]
fn check_refused(bytes: impl AsRef<[u8]>, expected: HeaderError) {
    let bytes = bytes.as_ref();
    assert_eq!(read(bytes), Err(expected), "{}", bytes.escape_ascii());
}

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, block].concat()
}

const IPV4_BLOCK: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 80, 0x13, 0x88, 0, 80];

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}

fn with_extensions(extensions: &[Vec<u8>]) -> Vec<u8> {
    binary(
        0x21,
        0x11,
        &[&IPV4_BLOCK[..], &extensions.concat()].concat(),
    )
}

#[test]
fn lines_tell_who_asks_whom() {
    check(
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\r\n",
        tcp("192.0.2.1:5000", "192.0.2.80:80"),
    );
    check(
        "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.80 65535 0\r\n",
        tcp("[2001:db8::1]:65535", "[::ffff:192.0.2.80]:0"),
    );
    check("PROXY UNKNOWN\r\n", Ends::Own);
    check(
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        Ends::Own,
    );
}

#[test]
fn lines_are_strict() {
    use HeaderError::{Address, Family, Missing, TooLong};
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80 1\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.80 5000 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 05000 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 +5000 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 65536 80\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.80 5000 80\r\n",
        "PROXY TCP4 192.0.2 192.0.2.80 5000 80\r\n",
        "PROXY TCP4 2001:db8::1 192.0.2.80 5000 80\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.80 5000 80\r\n",
        "PROXY TCP6 fe80::1%1 fe80::2 5000 80\r\n",
        "PROXY TCP4 \u{ff} 192.0.2.80 5000 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\n",
        "PROXY TCP4\r\n",
        "PROXY UNKNOWN\n",
    ] {
        check_refused(line, Address);
    }
    check_refused("PROXY TCP5 192.0.2.1 192.0.2.80 5000 80\r\n", Family);
    check_refused("PROXY tcp4 192.0.2.1 192.0.2.80 5000 80\r\n", Family);
    check_refused("PROXY  TCP4 192.0.2.1 192.0.2.80 5000 80\r\n", Family);
    check_refused("PROXY \r\n", Family);
    check_refused("proxy TCP4 192.0.2.1 192.0.2.80 5000 80\r\n", Missing);
    check_refused("GET / HTTP/1.1\r\n", Missing);
    check_refused("PRI * HTTP/2.0\r\n", Missing);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(TEXT_BYTES_MAX - 16));
    assert_eq!(longest.len(), TEXT_BYTES_MAX);
    check(&longest, Ends::Own);
    check_refused(longest.replace("x\r", "xx\r"), TooLong);
}

#[test]
fn binary_headers_tell_the_same() {
    check(
        binary(0x21, 0x11, &IPV4_BLOCK),
        tcp("192.0.2.1:5000", "192.0.2.80:80"),
    );
    let block = [&[0x20; 16][..], &[0x30; 16], &[0, 5, 0, 80]].concat();
    let (from, to) = (
        "[2020:2020:2020:2020:2020:2020:2020:2020]:5",
        "[3030:3030:3030:3030:3030:3030:3030:3030]:80",
    );
    check(binary(0x21, 0x21, &block), tcp(from, to));
    check(binary(0x21, 0x31, &[b'/'; 216]), Ends::Unix);
    check(binary(0x21, 0, b""), Ends::Own);
    check(binary(0x21, 0, b"passed over"), Ends::Own);
    // A health check; whatever else it says is passed over.
    check(binary(0x20, 0, b""), Ends::Own);
    check(binary(0x20, 0x11, &IPV4_BLOCK), Ends::Own);
    check(binary(0x20, 0xff, b"?"), Ends::Own);
}

#[test]
fn binary_headers_are_strict() {
    use HeaderError::{Address, Extensions, Family, Missing, TooLong, Version};
    check_refused(binary(0x11, 0x11, &IPV4_BLOCK), Version);
    check_refused(binary(0x22, 0x11, &IPV4_BLOCK), Version);
    for family in [0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41] {
        check_refused(binary(0x21, family, &IPV4_BLOCK), Family);
    }
    check_refused(binary(0x21, 0x11, &IPV4_BLOCK[..11]), Address);
    check_refused(binary(0x21, 0x21, &IPV4_BLOCK), Address);
    check_refused(binary(0x21, 0x31, &[b'/'; 215]), Address);
    let block = |length| [&IPV4_BLOCK[..], &extension(4, &vec![0; length])].concat();
    let longest = binary(0x21, 0x11, &block(BINARY_BYTES_MAX - 16 - 12 - 3));
    assert_eq!(longest.len(), BINARY_BYTES_MAX);
    read(&longest).unwrap();
    check_refused(
        binary(0x21, 0x11, &block(BINARY_BYTES_MAX - 16 - 12 - 2)),
        TooLong,
    );
    // What it says it will be is enough.
    let start = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff][..]].concat();
    assert_eq!(parse(&start), Err(TooLong));
    check_refused(b"\r\n\r\n\0\r\nQUIT\r", Missing);
    check_refused(b"\r\nGET / HTTP/1.1", Missing);
    for broken in [&[1][..], &[1, 0], &[1, 0, 1], &[1, 0, 1, b'h', 2]] {
        check_refused(with_extensions(&[broken.to_vec()]), Extensions);
    }
    check_refused(with_extensions(&[extension(2, b"\xff")]), Extensions);
    check_refused(with_extensions(&[extension(5, &[1; 129])]), Extensions);
    check_refused(with_extensions(&[extension(0x20, &[1; 4])]), Extensions);
}

#[test]
fn extensions_are_read() {
    let tls = |client: u8, verify: u8| {
        let inner = [
            extension(0x21, b"TLSv1.3"),
            extension(0x22, b"alice"),
            extension(0x23, b"TLS_AES_128_GCM_SHA256"),
            extension(0x24, b"SHA256"),
        ];
        let value = [&[client, 0, 0, 0, verify][..], &inner.concat()].concat();
        extension(0x20, &value)
    };
    let header = read(&with_extensions(&[
        extension(1, b"h2"),
        extension(2, b"site.example"),
        extension(4, b"nothing"),
        extension(5, b"\0\x01id"),
        tls(0x05, 0),
        extension(0xea, b"\x01vpce-1"),
    ]))
    .unwrap();
    let found = *header.extensions.unwrap();
    let expected = Extensions {
        alpn: Some(b"h2".as_slice().into()),
        authority: Some("site.example".into()),
        unique_id: Some(b"\0\x01id".as_slice().into()),
        tls: Some(Tls {
            verified: true,
            version: Some("TLSv1.3".into()),
            common_name: Some("alice".into()),
            cipher: Some("TLS_AES_128_GCM_SHA256".into()),
        }),
    };
    assert_eq!(found, expected);
    let verified = |client, verify| {
        let header = read(&with_extensions(&[tls(client, verify)])).unwrap();
        header.extensions.unwrap().tls.map(|tls| tls.verified)
    };
    assert_eq!(verified(0x01, 0), Some(false), "no certificate came");
    assert_eq!(verified(0x07, 1), Some(false), "it was refused");
    assert_eq!(verified(0x03, 0), Some(true));
    assert_eq!(verified(0x06, 0), None, "it came in the clear");
}

#[test]
fn a_checksum_must_be_right() {
    let mut bytes = with_extensions(&[
        extension(2, b"site.example"),
        extension(3, &[0; 4]),
        extension(4, b"behind it"),
    ]);
    let sum = crc32c(bytes.iter().copied()).to_be_bytes();
    let place = bytes.len() - 12 - 4..bytes.len() - 12;
    bytes[place.clone()].copy_from_slice(&sum);
    let found = read(&bytes).unwrap().extensions.unwrap();
    assert_eq!(found.authority.as_deref(), Some("site.example"));
    bytes[place.end - 1] ^= 1;
    check_refused(&bytes, HeaderError::Checksum);
    check_refused(
        with_extensions(&[extension(3, &[0; 3])]),
        HeaderError::Extensions,
    );
}

#[track_caller]
fn check_written(from: &str, to: &str, line: &str, expected: Ends) {
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    let mut text = Vec::new();
    write(&mut text, Version::V1, from, to);
    assert_eq!(
        text.escape_ascii().to_string(),
        line.escape_default().to_string()
    );
    check(&text, expected);
    let mut binary = Vec::new();
    write(&mut binary, Version::V2, from, to);
    check(&binary, expected);
}

#[test]
fn what_is_written_reads_the_same() {
    check_written(
        "192.0.2.1:5000",
        "192.0.2.80:80",
        "PROXY TCP4 192.0.2.1 192.0.2.80 5000 80\r\n",
        tcp("192.0.2.1:5000", "192.0.2.80:80"),
    );
    check_written(
        "[::ffff:192.0.2.1]:5",
        "[::ffff:192.0.2.80]:80",
        "PROXY TCP4 192.0.2.1 192.0.2.80 5 80\r\n",
        tcp("192.0.2.1:5", "192.0.2.80:80"),
    );
    check_written(
        "[2001:db8::1]:0",
        "192.0.2.80:80",
        "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.80 0 80\r\n",
        tcp("[2001:db8::1]:0", "[::ffff:192.0.2.80]:80"),
    );
    check_written("0.0.0.0:0", "0.0.0.0:0", "PROXY UNKNOWN\r\n", Ends::Own);
    for version in [Version::V1, Version::V2] {
        let mut own = Vec::new();
        write_own(&mut own, version);
        check(&own, Ends::Own);
    }
}

#[test]
fn binary_headers_are_written_byte_by_byte() {
    let mut out = Vec::new();
    let (from, to) = ("192.0.2.1:5000", "192.0.2.80:80");
    write(
        &mut out,
        Version::V2,
        from.parse().unwrap(),
        to.parse().unwrap(),
    );
    assert_eq!(out, binary(0x21, 0x11, &IPV4_BLOCK));
    out.clear();
    write_own(&mut out, Version::V2);
    assert_eq!(out, binary(0x20, 0, b""));
}

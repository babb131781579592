//! `api_key`: which program asks, by a key that it was given.

mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::credentials::{Tally, Verdict, quoted};
use super::current::Current;
use super::told::take_away;
use crate::exchange::variable::cookie;
use crate::exchange::{Exchange, Flow, Middleware};
use crate::http::{HeaderName, StatusCode};

pub(super) use settings::KIND;

/// Asks for a key.
#[derive(Debug)]
struct ApiKey {
    keys: Arc<Current<ApiKeys>>,
    header: Option<HeaderName>,
    cookie: Option<Box<str>>,
    query: Option<Arc<str>>,
    strip: bool,
    user_header: Option<HeaderName>,
    challenge: Box<[u8]>,
    tally: Tally,
}

/// Keys by their hashes: neither a copy of the memory nor the file gives one away.
#[derive(Default, Clone)]
struct ApiKeys {
    /// By the beginning of the hash. What is told by how long a look-up takes is told of a hash
    /// that nobody can choose, and the rest is compared in constant time.
    by_prefix: HashMap<[u8; 8], Vec<(Hash, Box<str>)>>,
}

type Hash = [u8; 32];

/// How long a key must be that is not written as a hash: shorter ones are found by trying.
const KEY_BYTES_MIN: usize = 16;

/// What a hash begins with in the configuration and in files.
const HASHED: &str = "sha256:";

impl ApiKeys {
    /// Adds a key, as it is or as `sha256:` and 64 digits. The words of an error never show it.
    fn add(&mut self, name: &str, written: &str) -> Result<(), String> {
        let good = |c: char| !c.is_control() && c != ':';
        if name.is_empty() || !name.chars().all(good) {
            return Err("a key needs a name, without colons".to_owned());
        }
        let hash = match written.strip_prefix(HASHED) {
            Some(digits) => from_hex(digits).ok_or("a hash has 64 hexadecimal digits")?,
            None if written.len() < KEY_BYTES_MIN => {
                return Err(format!(
                    "a key of {} bytes is too short: it can be found by trying",
                    written.len()
                ));
            }
            None => Sha256::digest(written.as_bytes()).into(),
        };
        if self.name_of_hash(&hash).is_some() {
            return Err("another key is the same".to_owned());
        }
        let place = self.by_prefix.entry(prefix(&hash)).or_default();
        place.push((hash, name.into()));
        Ok(())
    }

    /// Adds those of a file of lines such as `ci:sha256:…`.
    fn add_lines(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, key) = line
                .split_once(':')
                .ok_or_else(|| format!("line {number}: there is no colon"))?;
            let added = self.add(name, key);
            added.map_err(|problem| format!("line {number}: {problem}"))?;
        }
        Ok(())
    }

    /// The name of a key.
    fn name_of(&self, key: &[u8]) -> Option<&str> {
        self.name_of_hash(&Sha256::digest(key).into())
    }

    fn name_of_hash(&self, hash: &Hash) -> Option<&str> {
        let place = self.by_prefix.get(&prefix(hash))?;
        let found = place.iter().find(|(own, _)| own.ct_eq(hash).into());
        found.map(|(_, name)| &**name)
    }
}

fn prefix(hash: &Hash) -> [u8; 8] {
    let mut prefix = [0; 8];
    for (to, from) in prefix.iter_mut().zip(hash) {
        *to = *from;
    }
    prefix
}

fn from_hex(digits: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let bytes = digits.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if bytes.len() != 64 {
        return None;
    }
    for (to, pair) in hash.iter_mut().zip(bytes.as_chunks::<2>().0) {
        let [high, low] = *pair;
        *to = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(hash)
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.by_prefix.len())
    }
}

impl Middleware for ApiKey {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if let Some(header) = &self.user_header {
            take_away(&mut x.request.headers, header);
        }
        if let Some(parameter) = &self.query {
            let secret = Arc::clone(parameter);
            x.facts_mut().secret_parameters.push(secret);
        }
        let keys = self.keys.get(x.locals);
        let found = self.with_key(x, |key| keys.name_of(key));
        match found {
            Err(verdict) => self.refuse(x, verdict),
            Ok(None) => self.refuse(x, Verdict::Wrong),
            Ok(Some(name)) => {
                self.tally.accept(x);
                if let Some(header) = self.header.as_ref().filter(|_| self.strip) {
                    x.request.headers.remove(header);
                }
                if let Some(header) = &self.user_header {
                    x.request.headers.set(header, name.as_bytes());
                }
                x.facts_mut().user = Some(name.into());
                Flow::Continue
            }
        }
    }
}

impl ApiKey {
    /// Gives the key to `use_it`: that of the field, or else of the cookie, or else of the query.
    fn with_key<T>(&self, x: &Exchange<'_>, use_it: impl FnOnce(&[u8]) -> T) -> Result<T, Verdict> {
        if let Some(header) = &self.header {
            let mut values = x.request.headers.get_all(header);
            match (values.next(), values.next()) {
                (Some(key), None) => return Ok(use_it(key.trim_ascii())),
                // Who reads the other one might think otherwise.
                (Some(_), Some(_)) => return Err(Verdict::Malformed),
                (None, _) => {}
            }
        }
        if let Some(key) = self.cookie.as_deref().and_then(|name| cookie(x, name)) {
            return Ok(use_it(key));
        }
        let query = self.query.as_deref();
        match query.and_then(|name| x.request.target.query_value(name)) {
            Some(key) => Ok(use_it(key.as_bytes())),
            None => Err(Verdict::Missing),
        }
    }

    fn refuse(&self, x: &mut Exchange<'_>, verdict: Verdict) -> Flow {
        let status = StatusCode::UNAUTHORIZED;
        self.tally.refuse(x, verdict, status, Some(&self.challenge))
    }
}

/// What `WWW-Authenticate` says. The scheme is none that is registered, but a 401 must name one
/// (RFC 9110 §15.5.2).
fn challenge(realm: &str) -> Box<[u8]> {
    format!("ApiKey realm={}", quoted(realm))
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Why;
    use crate::exchange::testing::TestRequest;
    use crate::http::name;
    use crate::middleware::tests::{build, problems};

    /// What `sha256sum` says of `abc`.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    const KEYS: &str = "keys = { ci = '0123456789abcdef', abc = \
        'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' }\n";

    #[track_caller]
    fn check(settings: &str, request: TestRequest, expected: Result<&str, Why>) -> TestRequest {
        let link = build(&KIND, &format!("{KEYS}{settings}"));
        let mut request = request;
        let (flow, user) = {
            let mut x = request.exchange();
            let flow = link.on_request(&mut x);
            (flow, x.facts.and_then(|facts| facts.user))
        };
        let user = user.as_deref();
        match (flow, expected) {
            (Flow::Continue, Ok(expected)) => assert_eq!(user, Some(expected)),
            (Flow::Respond(response), Err(why)) => {
                assert_eq!(response.status, StatusCode::UNAUTHORIZED);
                assert_eq!((response.why, user), (Some(why), None));
                let challenge = response.headers.get_str(&name::WWW_AUTHENTICATE);
                assert_eq!(challenge, Some("ApiKey realm=\"restricted\""));
            }
            (flow, _) => panic!("{flow:?}, {user:?}"),
        }
        request
    }

    fn with(key: &str) -> TestRequest {
        TestRequest::get("/").header("X-API-Key", key)
    }

    #[test]
    fn keys_open_and_others_do_not() {
        check("", with("0123456789abcdef"), Ok("ci"));
        check("", with("abc"), Ok("abc"));
        for bad in ["", "0123456789abcdeF", "0123456789abcdef0", "ci", ABC] {
            check("", with(bad), Err(Why::CredentialsRefused));
        }
        let twice = with("abc").header("x-api-key", "abc");
        check("", twice, Err(Why::CredentialsRefused));
        check("", TestRequest::get("/"), Err(Why::CredentialsMissing));
        let query = TestRequest::get("/?key=abc");
        check("", query, Err(Why::CredentialsMissing));
    }

    #[test]
    fn other_places_for_keys() {
        let all = "query = 'key'\ncookie = 'k'";
        check(all, TestRequest::get("/?a&key=%61bc"), Ok("abc"));
        check(
            all,
            TestRequest::get("/").header("Cookie", "a=b; k=abc"),
            Ok("abc"),
        );
        // A field that is wrong is not made good by something else.
        let both = TestRequest::get("/?key=abc").header("X-API-Key", "no");
        check(all, both, Err(Why::CredentialsRefused));
        let none = "header = false\nquery = 'key'";
        check(none, with("abc"), Err(Why::CredentialsMissing));
    }

    #[test]
    fn what_those_further_in_see() {
        let settings = "strip = true\nuser_header = 'X-Client'";
        let request = check(settings, with("abc").header("X-Client", "root"), Ok("abc"));
        let headers = request.head.headers.iter();
        let headers: Vec<_> = headers.collect();
        assert_eq!(headers, [(&b"X-Client"[..], &b"abc"[..])]);
    }

    #[test]
    fn lines() {
        let mut keys = ApiKeys::default();
        keys.add_lines(&format!("# keys\n\nabc:{ABC}\nci:0123456789abcdef\n"))
            .unwrap();
        assert_eq!(keys.name_of(b"abc"), Some("abc"));
        assert_eq!(keys.name_of(b"0123456789abcdef"), Some("ci"));
        for (text, expected) in [
            ("abc", "line 1: there is no colon"),
            (
                ":0123456789abcdef",
                "line 1: a key needs a name, without colons",
            ),
            (
                "\na:short",
                "line 2: a key of 5 bytes is too short: it can be found by trying",
            ),
            ("a:sha256:00", "line 1: a hash has 64 hexadecimal digits"),
            ("b:0123456789abcdef", "line 1: another key is the same"),
        ] {
            assert_eq!(keys.clone().add_lines(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| assert_eq!(problems(&KIND, text), [expected]);
        check("", "this table needs `keys` or `keys_file`");
        check(
            "keys = { a = 'short' }",
            "key `a`: a key of 5 bytes is too short: it can be found by trying",
        );
        check(
            "keys = { a = 'sha256:zz' }",
            "key `a`: a hash has 64 hexadecimal digits",
        );
        let nowhere = format!("{KEYS}header = false");
        check(&nowhere, "there is no place where a key could stand");
        check(
            &format!("{KEYS}header = true"),
            "`header` is a name, or false",
        );
    }
}

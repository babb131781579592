//! What the client would rather have: `Accept`, `Accept-Encoding` and their q-values
//! (RFC 9110 §12.4.2, §12.5).

use super::{Headers, name};

/// How much something is wanted, in thousandths; 0 is "not at all".
pub type Quality = u16;

/// Wanted as much as can be.
const FULL: Quality = 1000;

/// How much a content coding is wanted: `br`, `gzip`, … or `identity` for none.
///
/// Without the field only `identity` is: the RFC would allow any coding, but who does not ask
/// for one often cannot undo it. `identity` that is not named stays acceptable, behind all that
/// is named, unless `*;q=0` refuses it (RFC 9110 §12.5.3).
pub fn coding_quality(headers: &Headers, coding: &str) -> Quality {
    let is_identity = coding.eq_ignore_ascii_case("identity");
    let mut any = None;
    for member in headers.list(&name::ACCEPT_ENCODING) {
        let Some((token, quality)) = weighted(member) else {
            continue;
        };
        if is_coding(token, coding) {
            return quality;
        }
        if token == b"*" {
            any = Some(quality);
        }
    }
    match any {
        Some(quality) => quality,
        None if !is_identity => 0,
        None if headers.contains(&name::ACCEPT_ENCODING) => 1,
        None => FULL,
    }
}

/// Of the codings on offer, given in our own order of preference, the one wanted most; `None`
/// if that is `identity`, or if nothing on offer is wanted.
pub fn best_coding<'o>(headers: &Headers, offered: &[&'o str]) -> Option<&'o str> {
    if offered.is_empty() || !headers.contains(&name::ACCEPT_ENCODING) {
        return None;
    }
    let mut best = None;
    // What is wanted as much as no coding is sent coded: it is shorter.
    let mut most = coding_quality(headers, "identity").saturating_sub(1);
    for &coding in offered {
        let quality = coding_quality(headers, coding);
        if quality > most {
            (best, most) = (Some(coding), quality);
        }
    }
    best
}

/// How much a media type is wanted: by the most specific range that covers it. Anything is
/// wanted fully by who sends no `Accept`.
pub fn media_quality(headers: &Headers, essence: &str) -> Quality {
    let mut best: Option<(u8, Quality)> = None;
    let mut asked = false;
    for member in headers.list(&name::ACCEPT) {
        asked = true;
        let Some((range, quality)) = weighted(member) else {
            continue;
        };
        if let Some(precision) = media_precision(range, essence)
            && best.is_none_or(|(known, _)| precision > known)
        {
            best = Some((precision, quality));
        }
    }
    match best {
        Some((_, quality)) => quality,
        None if asked => 0,
        None => FULL,
    }
}

/// Whether HTML is wanted more than JSON: browsers want it, programs as a rule do not say.
pub fn prefers_html(headers: &Headers) -> bool {
    headers.contains(&name::ACCEPT)
        && media_quality(headers, "text/html") > media_quality(headers, "application/json")
}

/// Splits a list member into what is weighed and its weight. Parameters before `q` stay with
/// what is weighed. `None` if the weight is none: such a member says nothing.
pub fn weighted(member: &[u8]) -> Option<(&[u8], Quality)> {
    let mut end = member.len();
    while let Some(at) = member.get(..end)?.iter().rposition(|&byte| byte == b';') {
        let parameter = member.get(at + 1..end)?.trim_ascii();
        end = at;
        if let [b'q' | b'Q', b'=', value @ ..] = parameter {
            return Some((member.get(..end)?.trim_ascii(), parse_quality(value)?));
        }
    }
    Some((member.trim_ascii(), FULL))
}

/// `0`, `0.5`, `1.000`: at most three digits behind the point, at most 1.
fn parse_quality(value: &[u8]) -> Option<Quality> {
    let (whole, rest) = value.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => FULL,
        _ => return None,
    };
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    (thousandths <= FULL).then_some(thousandths)
}

/// The codings that had an `x-` before they were registered mean the same (RFC 9110 §8.4.1).
fn is_coding(token: &[u8], coding: &str) -> bool {
    let plain = |token: &[u8]| token.eq_ignore_ascii_case(coding.as_bytes());
    plain(token)
        || match token {
            [b'x' | b'X', b'-', rest @ ..] => {
                plain(rest) && (coding == "gzip" || coding == "compress")
            }
            _ => false,
        }
}

/// How precisely a media range covers a type: 0 for `*/*`, 1 for `text/*`, 2 for the type
/// itself. A range with parameters covers only representations with them; of those there are
/// none but `charset`.
fn media_precision(range: &[u8], essence: &str) -> Option<u8> {
    let (range, parameters) = match range.iter().position(|&byte| byte == b';') {
        Some(at) => range.split_at_checked(at)?,
        None => (range, &[][..]),
    };
    let foreign = parameters
        .split(|&byte| byte == b';')
        .map(<[u8]>::trim_ascii)
        .any(|parameter| {
            let name = parameter.get(..8).unwrap_or(parameter);
            !name.is_empty() && !name.eq_ignore_ascii_case(b"charset=")
        });
    if foreign {
        return None;
    }
    let range = range.trim_ascii();
    if range == b"*/*" {
        return Some(0);
    }
    if range.eq_ignore_ascii_case(essence.as_bytes()) {
        return Some(2);
    }
    let kind = range.strip_suffix(b"*")?;
    let covered = essence.as_bytes().get(..kind.len())?;
    (kind.ends_with(b"/") && covered.eq_ignore_ascii_case(kind)).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::super::HeaderName;
    use super::*;

    fn headers(name: &HeaderName, value: Option<&str>) -> Headers {
        let mut headers = Headers::new();
        if let Some(value) = value {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn codings() {
        #[track_caller]
        fn check(field: Option<&str>, [gzip, br, identity]: [Quality; 3]) {
            let headers = headers(&name::ACCEPT_ENCODING, field);
            let of = |coding| coding_quality(&headers, coding);
            assert_eq!(
                [of("gzip"), of("br"), of("identity")],
                [gzip, br, identity],
                "{field:?}"
            );
        }
        check(None, [0, 0, 1000]);
        check(Some(""), [0, 0, 1]);
        check(Some("gzip"), [1000, 0, 1]);
        check(Some("GZIP;q=0.5, Br;Q=0.25"), [500, 250, 1]);
        check(Some("x-gzip ; q=1.000"), [1000, 0, 1]);
        check(Some("gzip;q=0"), [0, 0, 1]);
        check(Some("*"), [1000, 1000, 1000]);
        check(Some("*;q=0"), [0, 0, 0]);
        check(Some("br, *;q=0, identity;q=0.001"), [0, 1000, 1]);
        check(Some("identity;q=0, gzip;q=0.3"), [300, 0, 0]);
        check(Some("gzip;q=2, br;q=0.1234, *;q=x"), [0, 0, 1]);
        check(
            Some("gzip;q=, br;q=1.001, identity;q=0.5.5, x-br"),
            [0, 0, 1],
        );
        check(Some("gzip;level=9;q=0.5, br;q=.5"), [0, 0, 1]);
    }

    #[test]
    fn the_best_coding_on_offer() {
        #[track_caller]
        fn check(field: Option<&str>, offered: &[&str], expected: Option<&str>) {
            let headers = headers(&name::ACCEPT_ENCODING, field);
            assert_eq!(best_coding(&headers, offered), expected, "{field:?}");
        }
        let all = ["br", "zstd", "gzip"];
        check(None, &all, None);
        check(Some("gzip, deflate, br, zstd"), &all, Some("br"));
        check(Some("gzip, br;q=0.9"), &all, Some("gzip"));
        check(Some("gzip;q=0.001"), &all, Some("gzip"));
        check(Some("gzip;q=0"), &all, None);
        check(Some("identity, gzip;q=0.5"), &all, None);
        check(Some("*"), &all, Some("br"));
        check(Some("br;q=0, *"), &all, Some("zstd"));
        check(Some("*;q=0"), &all, None);
        check(Some("br"), &["gzip"], None);
        check(Some("br"), &[], None);
    }

    #[test]
    fn media_types() {
        #[track_caller]
        fn check(field: Option<&str>, html: Quality, json: Quality, prefers: bool) {
            let headers = headers(&name::ACCEPT, field);
            assert_eq!(media_quality(&headers, "text/html"), html, "{field:?}");
            assert_eq!(
                media_quality(&headers, "application/json"),
                json,
                "{field:?}"
            );
            assert_eq!(prefers_html(&headers), prefers, "{field:?}");
        }
        check(None, 1000, 1000, false);
        check(Some("*/*"), 1000, 1000, false);
        check(
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            1000,
            800,
            true,
        );
        check(Some("application/json"), 0, 1000, false);
        check(Some("TEXT/*;q=0.3, */*;q=0.2"), 300, 200, true);
        check(Some("text/html;q=0.1, text/*, */*"), 100, 1000, false);
        check(
            Some("text/html;level=1, application/json;charset=utf-8;q=0.5"),
            0,
            500,
            false,
        );
        check(Some("text*, appli*/*, text/html;q=9"), 0, 0, false);
        check(Some("text/htm"), 0, 0, false);
    }
}

//! Conditional requests: the four preconditions and their precedence (RFC 9110 §13.2.2).

use super::date;
use super::etag::{ETag, Tags};
use super::{Headers, Method, name};

/// What is known of the representation that a request without conditions would get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub etag: Option<ETag<'a>>,
    /// When it was last changed, in seconds since 1970.
    pub last_modified: Option<u64>,
}

/// What the preconditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    PreconditionFailed,
}

/// Evaluates the preconditions of a request for a representation that exists.
///
/// `now`, in seconds since 1970, is only needed to read dates with years of two digits.
pub fn evaluate(method: &Method, headers: &Headers, current: &Validators<'_>, now: u64) -> Verdict {
    // The numbers are the steps of RFC 9110 §13.2.2.
    // 1. If-Match; 2. else If-Unmodified-Since.
    let unchanged = match if_match(headers, current) {
        Some(matches) => matches,
        None => if_unmodified_since(headers, current, now).unwrap_or(true),
    };
    if !unchanged {
        return Verdict::PreconditionFailed;
    }
    let reads = matches!(method, Method::Get | Method::Head);
    // 3. If-None-Match; 4. else If-Modified-Since, for GET and HEAD alone.
    let wanted = match if_none_match(headers, current) {
        Some(wanted) => wanted,
        None if reads => if_modified_since(headers, current, now).unwrap_or(true),
        None => true,
    };
    match (wanted, reads) {
        (true, _) => Verdict::Proceed,
        (false, true) => Verdict::NotModified,
        (false, false) => Verdict::PreconditionFailed,
    }
    // 5. If-Range is `range::select`'s.
}

/// Whether a `Range` counts: there is no `If-Range`, or it names exactly this representation
/// (RFC 9110 §13.1.5).
///
/// A tag must compare strongly. A date must be the date of the last change, and that change
/// must lie before this second (`now`): within it the file may change again unseen.
pub fn if_range_holds(headers: &Headers, current: &Validators<'_>, now: u64) -> bool {
    let Some(value) = headers.get(&name::IF_RANGE) else {
        return true;
    };
    if let Some(tag) = ETag::parse(value) {
        return current.etag.is_some_and(|own| own.strong_eq(&tag));
    }
    match (date::parse(value, now), current.last_modified) {
        (Some(date), Some(changed)) => date == changed && changed < now,
        _ => false,
    }
}

/// RFC 9110 §13.1.1, with the strong comparison. `None` if there is no such field.
fn if_match(headers: &Headers, current: &Validators<'_>) -> Option<bool> {
    any_tag(headers, &name::IF_MATCH, |tag| {
        current.etag.is_some_and(|own| own.strong_eq(tag))
    })
}

/// RFC 9110 §13.1.2, with the weak comparison: false if the client has it.
fn if_none_match(headers: &Headers, current: &Validators<'_>) -> Option<bool> {
    let matches = any_tag(headers, &name::IF_NONE_MATCH, |tag| {
        current.etag.is_some_and(|own| own.weak_eq(tag))
    });
    matches.map(|matches| !matches)
}

/// Whether one of the tags of this field fits, over all its lines; `*` always does.
fn any_tag(
    headers: &Headers,
    field: &super::HeaderName,
    fits: impl Fn(&ETag<'_>) -> bool,
) -> Option<bool> {
    let mut found = None;
    for line in headers.get_all(field) {
        let mut tags = Tags::of(line);
        if tags.is_any() || tags.any(|tag| fits(&tag)) {
            return Some(true);
        }
        found = Some(false);
    }
    found
}

/// RFC 9110 §13.1.4. `None` if there is no such field, or if it is to be ignored.
fn if_unmodified_since(headers: &Headers, current: &Validators<'_>, now: u64) -> Option<bool> {
    let date = only_date(headers, &name::IF_UNMODIFIED_SINCE, now)?;
    Some(current.last_modified? <= date)
}

/// RFC 9110 §13.1.3: true if it was changed since. `None` as above.
fn if_modified_since(headers: &Headers, current: &Validators<'_>, now: u64) -> Option<bool> {
    let date = only_date(headers, &name::IF_MODIFIED_SINCE, now)?;
    Some(current.last_modified? > date)
}

/// The date of a field that has one line and holds a valid date; all others are ignored.
pub(super) fn only_date(headers: &Headers, field: &super::HeaderName, now: u64) -> Option<u64> {
    let mut lines = headers.get_all(field);
    let first = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    date::parse(first, now)
}

#[cfg(test)]
mod tests {
    use super::super::HeaderName;
    use super::*;

    const NOW: u64 = 1_790_000_000;
    const CHANGED: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn current() -> Validators<'static> {
        Validators {
            etag: ETag::parse(b"\"a\""),
            last_modified: Some(CHANGED),
        }
    }

    fn headers(fields: &[(HeaderName, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    #[track_caller]
    fn check(fields: &[(HeaderName, &str)], get: Verdict, put: Verdict) {
        let headers = headers(fields);
        let verdict = |method| evaluate(&method, &headers, &current(), NOW);
        assert_eq!(verdict(Method::Get), get, "{fields:?}");
        assert_eq!(verdict(Method::Head), get, "{fields:?}");
        assert_eq!(verdict(Method::Put), put, "{fields:?}");
    }

    #[test]
    fn each_condition_by_itself() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        check(&[], Proceed, Proceed);
        let fails = |name: HeaderName, value| {
            check(&[(name, value)], PreconditionFailed, PreconditionFailed);
        };
        let holds = |name: HeaderName, value| check(&[(name, value)], Proceed, Proceed);
        holds(name::IF_MATCH, "\"a\"");
        holds(name::IF_MATCH, "\"b\", \"a\"");
        holds(name::IF_MATCH, "*");
        fails(name::IF_MATCH, "W/\"a\"");
        fails(name::IF_MATCH, "\"b\"");
        fails(name::IF_MATCH, "a");
        fails(name::IF_MATCH, "");
        holds(name::IF_UNMODIFIED_SINCE, SAME);
        holds(name::IF_UNMODIFIED_SINCE, AFTER);
        holds(name::IF_UNMODIFIED_SINCE, "yesterday");
        fails(name::IF_UNMODIFIED_SINCE, BEFORE);
        holds(name::IF_NONE_MATCH, "\"b\"");
        holds(name::IF_NONE_MATCH, "a");
        for hit in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            let field = [(name::IF_NONE_MATCH, hit)];
            check(&field, NotModified, PreconditionFailed);
        }
        holds(name::IF_MODIFIED_SINCE, BEFORE);
        holds(name::IF_MODIFIED_SINCE, "yesterday");
        check(&[(name::IF_MODIFIED_SINCE, SAME)], NotModified, Proceed);
        check(&[(name::IF_MODIFIED_SINCE, AFTER)], NotModified, Proceed);
        let twice = [
            (name::IF_MODIFIED_SINCE, SAME),
            (name::IF_MODIFIED_SINCE, SAME),
        ];
        check(&twice, Proceed, Proceed);
        let lines = [
            (name::IF_NONE_MATCH, "\"b\""),
            (name::IF_NONE_MATCH, "\"a\""),
        ];
        check(&lines, NotModified, PreconditionFailed);
    }

    #[test]
    fn tags_come_before_dates_and_matching_before_not_matching() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        let tag_holds = (name::IF_MATCH, "\"a\"");
        let tag_fails = (name::IF_MATCH, "\"b\"");
        let date_fails = (name::IF_UNMODIFIED_SINCE, BEFORE);
        let has = (name::IF_NONE_MATCH, "\"a\"");
        let has_not = (name::IF_NONE_MATCH, "\"b\"");
        let since = (name::IF_MODIFIED_SINCE, AFTER);
        let failed = PreconditionFailed;
        check(&[tag_holds.clone(), date_fails.clone()], Proceed, Proceed);
        check(&[has_not, since.clone()], Proceed, Proceed);
        check(&[tag_fails, has.clone()], failed, failed);
        check(&[date_fails, has.clone()], failed, failed);
        check(&[tag_holds.clone(), has], NotModified, failed);
        check(&[tag_holds, since], NotModified, Proceed);
    }

    #[test]
    fn without_validators_only_the_star_and_missing_tags_decide() {
        let verdict = |name: HeaderName, value| {
            let headers = headers(&[(name, value)]);
            evaluate(&Method::Get, &headers, &Validators::default(), NOW)
        };
        assert_eq!(verdict(name::IF_MATCH, "*"), Verdict::Proceed);
        assert_eq!(
            verdict(name::IF_MATCH, "\"a\""),
            Verdict::PreconditionFailed
        );
        assert_eq!(verdict(name::IF_NONE_MATCH, "\"a\""), Verdict::Proceed);
        assert_eq!(verdict(name::IF_NONE_MATCH, "*"), Verdict::NotModified);
        assert_eq!(verdict(name::IF_MODIFIED_SINCE, AFTER), Verdict::Proceed);
        assert_eq!(verdict(name::IF_UNMODIFIED_SINCE, BEFORE), Verdict::Proceed);
    }

    #[test]
    fn if_range_wants_exactly_this_representation() {
        #[track_caller]
        fn check(value: &str, now: u64, expected: bool) {
            let headers = headers(&[(name::IF_RANGE, value)]);
            assert_eq!(
                if_range_holds(&headers, &current(), now),
                expected,
                "{value}"
            );
        }
        assert!(if_range_holds(&Headers::new(), &current(), NOW));
        check("\"a\"", NOW, true);
        check("\"b\"", NOW, false);
        check("W/\"a\"", NOW, false);
        check("\"a\", \"b\"", NOW, false);
        check(SAME, NOW, true);
        check(SAME, CHANGED, false);
        check(BEFORE, NOW, false);
        check(AFTER, NOW, false);
        check("*", NOW, false);
        let headers = headers(&[(name::IF_RANGE, SAME)]);
        assert!(!if_range_holds(&headers, &Validators::default(), NOW));
    }
}

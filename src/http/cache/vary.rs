//! Which requests a stored response fits: `Vary` (RFC 9111 §4.1).

use crate::http::{HeaderName, Headers, name};

/// How many fields a response may vary by and still be kept; more than anyone has uses for.
pub const FIELDS_MAX: usize = 16;

/// The fields that select among the responses of one URL, each once, in lower case and sorted.
/// `None` if no request can be told to fit: `*`, a name that is none, or too many.
pub fn fields(response: &Headers) -> Option<Vec<HeaderName>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for member in response.list(&name::VARY) {
        if member == b"*" {
            return None;
        }
        names.push(member.to_ascii_lowercase());
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > FIELDS_MAX {
        return None;
    }
    names
        .iter()
        .map(|name| HeaderName::from_bytes(name))
        .collect()
}

/// Appends what a request says in these fields, so that two requests select the same response
/// exactly if the same was appended for both.
///
/// White space between members and the division into lines make no difference (§4.1), nor does
/// case in `Accept-Encoding`. A field that is not there differs from an empty one.
pub fn select(fields: &[HeaderName], request: &Headers, into: &mut Vec<u8>) {
    for field in fields {
        if request.contains(field) {
            into.push(b'=');
            let start = into.len();
            for member in request.list(field) {
                into.extend_from_slice(member);
                into.push(b',');
            }
            let folds = field.as_str().eq_ignore_ascii_case("Accept-Encoding");
            if folds && let Some(written) = into.get_mut(start..) {
                written.make_ascii_lowercase();
            }
        }
        // No value holds one.
        into.push(b'\n');
    }
}

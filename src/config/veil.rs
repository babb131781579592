//! Secrets in the texts that diagnostics are drawn from: a line is shown with its secrets
//! written over, whatever on it is wrong.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::TLS;
use crate::build::Key;
use crate::handlers::UPSTREAM;
use crate::middleware::REGISTRY;

type Value<'t> = Spanned<DeValue<'t>>;

/// The text with `*` for every byte of a secret: all places in it stay where they are.
pub(super) fn veiled(text: &str) -> String {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut secrets = Vec::new();
    for (within, value) in document.get_ref() {
        match (&**within.get_ref(), value.get_ref()) {
            ("listener", DeValue::Array(listeners)) => {
                for tls in listeners.iter().filter_map(|one| at(one, "tls")) {
                    find(tls, TLS, &mut secrets);
                }
            }
            ("upstream", DeValue::Table(upstreams)) => {
                for upstream in upstreams.values() {
                    find(upstream, UPSTREAM.keys, &mut secrets);
                }
            }
            ("middleware", DeValue::Table(instances)) => {
                for (name, instance) in instances {
                    for keys in keys_of(name.get_ref(), instance) {
                        find(instance, keys, &mut secrets);
                    }
                }
            }
            _ => {}
        }
    }
    let mut bytes = text.as_bytes().to_vec();
    for secret in secrets {
        // Lines stay lines.
        let bytes = bytes.get_mut(secret).unwrap_or_default().iter_mut();
        bytes
            .filter(|byte| !byte.is_ascii_control())
            .for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The keys that a `[middleware.NAME]` may hold: those of its `type`, or of what its name says,
/// or of any kind if it is none.
fn keys_of(name: &str, instance: &Value<'_>) -> Vec<&'static [Key]> {
    let written = at(instance, "type").and_then(|kind| kind.get_ref().as_str());
    let kind = written.unwrap_or(name);
    match REGISTRY.iter().find(|known| known.name == kind) {
        Some(known) => vec![known.keys],
        None => REGISTRY.iter().map(|known| known.keys).collect(),
    }
}

/// The places of the secrets in a table that may hold these keys.
fn find(table: &Value<'_>, keys: &[Key], secrets: &mut Vec<Range<usize>>) {
    for key in keys.iter().filter(|key| key.is_secret()) {
        if let Some(value) = at(table, key.name) {
            strings(value, secrets);
        }
    }
}

/// What stands in a table under a key, or under several of them: `eab.hmac_key`.
fn at<'v, 't>(table: &'v Value<'t>, key: &str) -> Option<&'v Value<'t>> {
    key.split('.')
        .try_fold(table, |value, key| value.get_ref().get(key))
}

/// The insides of all strings in a value.
fn strings(value: &Value<'_>, secrets: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        // A variable of the environment is the name of a secret, and no secret.
        DeValue::String(text) if is_variable(text) => {}
        DeValue::String(_) => {
            let Range { start, end } = value.span();
            secrets.push(start + 1..end.saturating_sub(1).max(start + 1));
        }
        DeValue::Array(items) => items.iter().for_each(|item| strings(item, secrets)),
        DeValue::Table(table) => table.values().for_each(|value| strings(value, secrets)),
        _ => {}
    }
}

fn is_variable(text: &str) -> bool {
    let name = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.contains([':', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(veiled(text), expected);
        assert_eq!(text.len(), expected.len());
    }

    #[test]
    fn secrets_are_written_over_wherever_they_stand() {
        check(
            "[[listener]]\ntls = { acme = { store = \"a\", eab = { hmac_key = \"s3\" } } }",
            "[[listener]]\ntls = { acme = { store = \"a\", eab = { hmac_key = \"**\" } } }",
        );
        check(
            "[upstream.a.sticky_cookie]\nname = \"n\"\nsecret = '''s\n3'''",
            "[upstream.a.sticky_cookie]\nname = \"n\"\nsecret = '***\n***'",
        );
        check(
            "[middleware.a]\ntype = \"basic_auth\"\nrealm = \"r\"\nusers = { me = \"s3é\" }",
            "[middleware.a]\ntype = \"basic_auth\"\nrealm = \"r\"\nusers = { me = \"****\" }",
        );
        // Of a kind by its name; of no kind.
        check(
            "[middleware]\napi_key = { keys = { a = \"s3\" } }\nx = { secret = \"s3\", kind = 1 }",
            "[middleware]\napi_key = { keys = { a = \"**\" } }\nx = { secret = \"**\", kind = 1 }",
        );
    }

    #[test]
    fn all_else_is_left_as_it_is() {
        for text in [
            "",
            "[middleware.a]\ntype = \"jwt\"\nsecret = \"${SECRET}\"\nkeys = \"k\"",
            "[middleware.a]\ntype = \"cache\"\nstore = \"s\"\nsecret = 3",
            "[[listener]]\ntls = \"self_signed\"\n[upstream]\na = 1\n[[middleware]]\n",
            "secret = \"not one\"\n= broken \"",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_stands_before_a_mistake_of_syntax_is_written_over_too() {
        check(
            "[middleware.a]\ntype = \"jwt\"\nsecret = \"s3\", x",
            "[middleware.a]\ntype = \"jwt\"\nsecret = \"**\", x",
        );
    }
}

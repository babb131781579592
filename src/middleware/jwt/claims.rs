//! What a token must claim.

use std::time::Duration;

use serde_json::{Map, Value};

/// Why a token that is genuine does not get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its time is over, or has not come.
    Stale(&'static str),
    /// It is for someone else, from someone else, or says nothing of it.
    Invalid(&'static str),
    /// Its bearer may not do this. The scope that would do, if it is that which is lacking.
    Insufficient(Option<Box<str>>),
}

/// What is asked of every token.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    /// How far the clocks of issuer and server may be apart.
    pub(super) leeway: Duration,
    /// A token without an end is refused.
    pub(super) expires: bool,
    /// Claims that must be there, and the values of which one must be; none for any.
    pub(super) required: Vec<(Box<str>, Vec<String>)>,
}

impl Rules {
    /// Whether a token with these claims gets in at this time, counted from 1970.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: Duration) -> Result<(), Unfit> {
        let time = |name: &str, broken| match claims.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds.is_finite() => Ok(Some(seconds)),
                _ => Err(Unfit::Invalid(broken)),
            },
        };
        let (now, leeway) = (now.as_secs_f64(), self.leeway.as_secs_f64());
        match time("exp", "the token has no valid end")? {
            None if self.expires => return Err(Unfit::Invalid("the token has no end")),
            Some(end) if now >= end + leeway => {
                return Err(Unfit::Stale("the token has expired"));
            }
            Some(_) | None => {}
        }
        if time("nbf", "the token has no valid beginning")?.is_some_and(|from| now + leeway < from)
        {
            return Err(Unfit::Stale("the token is not valid yet"));
        }
        let one_of = |name: &str, wanted: &[String]| {
            wanted.is_empty()
                || find(claims, name).is_some_and(|value| holds(value, wanted, is_scope(name)))
        };
        if !one_of("iss", &self.issuers) {
            return Err(Unfit::Invalid("the token comes from another issuer"));
        }
        // Who is not named by a token that names someone must not take it (RFC 7519 §4.1.3).
        let named = claims.contains_key("aud") || !self.audiences.is_empty();
        let any = self.audiences.iter().any(|audience| audience == "*");
        let ours = || {
            claims
                .get("aud")
                .is_some_and(|aud| holds(aud, &self.audiences, false))
        };
        if named && !any && !ours() {
            return Err(Unfit::Invalid("the token is meant for another audience"));
        }
        for (name, wanted) in &self.required {
            let there = find(claims, name).is_some_and(|value| !value.is_null());
            let scope = || is_scope(name).then(|| wanted.join(" ").into());
            if !there || !one_of(name, wanted) {
                return Err(Unfit::Insufficient(scope()));
            }
        }
        Ok(())
    }
}

/// A claim by its name, or by a path of names: `realm_access.roles`.
pub(super) fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// A list of words in one string (RFC 8693 §4.2).
fn is_scope(name: &str) -> bool {
    matches!(name, "scope" | "scp")
}

/// Whether a claim is one of these, or a list, or words in one string, that hold one.
fn holds(value: &Value, wanted: &[String], words: bool) -> bool {
    match value {
        Value::String(text) if words => {
            let mut words = text.split(' ');
            words.any(|word| wanted.iter().any(|one| one == word))
        }
        Value::String(text) => wanted.contains(text),
        Value::Array(list) => list.iter().any(|value| holds(value, wanted, words)),
        Value::Bool(_) | Value::Number(_) => wanted.contains(&value.to_string()),
        Value::Null | Value::Object(_) => false,
    }
}

/// A claim as the value of a field: a list by commas, anything deeper as JSON.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let texts: Option<Vec<String>> = list.iter().map(as_text).collect();
            texts.map(|texts| texts.join(","))
        }
        value => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_000_000;

    #[track_caller]
    fn check(rules: &Rules, claims: &Value, expected: &Result<(), Unfit>) {
        let result = rules.check(claims.as_object().unwrap(), Duration::from_secs(NOW));
        assert_eq!(&result, expected, "{claims}");
    }

    #[test]
    fn times() {
        let rules = Rules {
            leeway: Duration::from_secs(30),
            expires: true,
            ..Rules::default()
        };
        let expired = || Err(Unfit::Stale("the token has expired"));
        check(&rules, &json!({"exp": NOW + 1}), &Ok(()));
        check(&rules, &json!({"exp": NOW - 29}), &Ok(()));
        check(&rules, &json!({"exp": NOW - 30}), &expired());
        check(&rules, &json!({"exp": 0}), &expired());
        check(&rules, &json!({"exp": -1}), &expired());
        check(&rules, &json!({"exp": 1_000_029.5}), &Ok(()));
        let invalid = |text| Err(Unfit::Invalid(text));
        check(
            &rules,
            &json!({"exp": "1000030"}),
            &invalid("the token has no valid end"),
        );
        check(
            &rules,
            &json!({"exp": null}),
            &invalid("the token has no valid end"),
        );
        check(&rules, &json!({}), &invalid("the token has no end"));
        let early = Err(Unfit::Stale("the token is not valid yet"));
        check(&rules, &json!({"exp": NOW + 99, "nbf": NOW + 30}), &Ok(()));
        check(&rules, &json!({"exp": NOW + 99, "nbf": NOW + 31}), &early);
        check(&Rules::default(), &json!({}), &Ok(()));
    }

    #[test]
    fn issuer_and_audience() {
        let rules = Rules {
            issuers: vec!["https://a".into(), "https://b".into()],
            audiences: vec!["api".into()],
            ..Rules::default()
        };
        check(&rules, &json!({"iss": "https://b", "aud": "api"}), &Ok(()));
        check(
            &rules,
            &json!({"iss": "https://b", "aud": ["x", "api"]}),
            &Ok(()),
        );
        let issuer = || Err(Unfit::Invalid("the token comes from another issuer"));
        check(
            &rules,
            &json!({"iss": "https://bb", "aud": "api"}),
            &issuer(),
        );
        check(&rules, &json!({"aud": "api"}), &issuer());
        let audience = || Err(Unfit::Invalid("the token is meant for another audience"));
        check(
            &rules,
            &json!({"iss": "https://a", "aud": "apis"}),
            &audience(),
        );
        check(&rules, &json!({"iss": "https://a", "aud": []}), &audience());
        check(&rules, &json!({"iss": "https://a"}), &audience());
        check(&Rules::default(), &json!({"aud": "api"}), &audience());
        let any = Rules {
            audiences: vec!["*".into()],
            ..Rules::default()
        };
        check(&any, &json!({"aud": "api"}), &Ok(()));
        check(&any, &json!({}), &Ok(()));
    }

    #[test]
    fn required_claims() {
        let rules = Rules {
            required: vec![
                ("scope".into(), vec!["read".into(), "all".into()]),
                ("realm.roles".into(), vec!["ops".into()]),
                ("email".into(), Vec::new()),
                ("verified".into(), vec!["true".into()]),
            ],
            ..Rules::default()
        };
        let good = json!({
            "scope": "write read", "realm": {"roles": ["dev", "ops"]}, "email": "",
            "verified": true,
        });
        check(&rules, &good, &Ok(()));
        for (name, bad, scope) in [
            ("scope", json!("readers"), Some("read all".into())),
            ("scope", json!(null), Some("read all".into())),
            ("realm", json!({"roles": "dev"}), None),
            ("realm", json!([]), None),
            ("email", json!(null), None),
            ("verified", json!(false), None),
        ] {
            let mut claims = good.clone();
            claims[name] = bad;
            check(&rules, &claims, &Err(Unfit::Insufficient(scope)));
        }
    }

    #[test]
    fn claims_as_text() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(["a", 1, true]), Some("a,1,true")),
            (json!(7), Some("7")),
            (json!({"a": 1}), Some("{\"a\":1}")),
            (json!(null), None),
        ] {
            assert_eq!(as_text(&value).as_deref(), expected);
        }
    }
}

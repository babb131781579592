//! What the reference says of each key a table may hold.

/// A key that a table may hold. A test holds these to what the settings really read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key; `health_check.path` within a table of the table, `checks.NAME.tcp` where the
    /// file chooses the name.
    pub name: &'static str,
    /// What it takes, in a few words: `duration`, `list of origins`.
    pub takes: &'static str,
    /// What holds if it is not written: TOML, or words; `None` if it must be written.
    pub default: Option<&'static str>,
    /// What it does, in a sentence without a full stop.
    pub meaning: &'static str,
}

impl Key {
    /// Whether its value, or every string in it, is a secret: then it is not printed.
    pub fn is_secret(&self) -> bool {
        self.takes.starts_with("secret")
    }
}

/// A table of keys: `"max_age": "duration" = "\"24h\"", "how long it is kept";`. Without `=` and
/// a default the key must be written. A default is TOML or, where it cannot be, words in
/// (parentheses).
macro_rules! keys {
    ($($name:literal: $takes:literal $(= $default:literal)?, $meaning:literal;)*) => {
        &[$($crate::build::Key {
            name: $name,
            takes: $takes,
            default: $crate::build::key::keys!(@default $($default)?),
            meaning: $meaning,
        }),*]
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

pub(crate) use keys;

/// What is wrong with the keys of a kind, each with the line that mends it.
#[cfg(test)]
pub(crate) fn wrong_keys<T>(kind: &super::Kind<T>) -> Vec<String> {
    let fields = parse(kind, "").fields;
    let mut wrong = wrong(kind.name, kind.keys, &fields);
    for key in kind.keys {
        let whole = !key.name.contains('.');
        if whole && is_unknown(kind, key.name) {
            wrong.push(format!("{}: nothing reads `{}`", kind.name, key.name));
        }
        if whole && !is_shown(kind.example, key.name) {
            let name = key.name;
            wrong.push(format!(
                "{}: its example does not show `{name} = …`",
                kind.name
            ));
        }
        wrong.extend(wrong_default(kind, key));
    }
    wrong
}

/// What is wrong with a table of keys, measured on the fields that are read.
#[cfg(test)]
pub(crate) fn wrong(
    table: &str,
    keys: &[Key],
    fields: &std::collections::BTreeSet<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in fields {
        if !keys.iter().any(|key| key.name == field) {
            wrong.push(format!(
                "{table}: its keys lack\n    \"{field}\": \"…\" = \"…\", \"…\";"
            ));
        }
    }
    for (at, key) in keys.iter().enumerate() {
        let nested = is_none(key.name, fields);
        let twice = keys.iter().skip(at + 1).any(|other| other.name == key.name);
        let empty = key.takes.is_empty() || key.meaning.is_empty();
        if nested || twice || empty || key.meaning.ends_with('.') {
            wrong.push(format!("{table}: wrong, double or empty: {key:?}"));
        }
    }
    wrong
}

/// Whether a key within a table is none of that table's. Of a table that is read by hand nothing
/// is known.
#[cfg(test)]
fn is_none(name: &str, fields: &std::collections::BTreeSet<String>) -> bool {
    let Some((table, _)) = name.rsplit_once('.') else {
        return false;
    };
    let start = format!("{table}.");
    !fields.contains(name) && fields.iter().any(|field| field.starts_with(&start))
}

#[cfg(test)]
struct Parsed {
    fields: std::collections::BTreeSet<String>,
    problems: Vec<super::Problem>,
    settings: Option<String>,
}

#[cfg(test)]
fn parse<T>(kind: &super::Kind<T>, text: &str) -> Parsed {
    let section = super::Section::from_text(text).expect("TOML");
    let names = [std::sync::Arc::from("backend")];
    let mut cx = super::ParseContext {
        upstreams: &names,
        ..super::ParseContext::default()
    };
    let settings = (kind.parse)(&section, &mut cx);
    Parsed {
        fields: cx.fields,
        problems: cx.problems,
        settings: settings.map(|settings| format!("{settings:?}")),
    }
}

/// Whether nothing reads this key.
#[cfg(test)]
fn is_unknown<T>(kind: &super::Kind<T>, key: &str) -> bool {
    let parsed = parse(kind, &format!("{key} = 1"));
    let quoted = format!("`{key}`");
    let mut problems = parsed.problems.iter();
    problems.any(|problem| problem.code == "E0003" && problem.message.contains(&quoted))
}

/// Whether an example has a line for this key, in use or commented out.
#[cfg(test)]
fn is_shown(example: &str, key: &str) -> bool {
    let shown = |line: &str| {
        let line = line.trim_start_matches(['#', ' ', '[']);
        let rest = line.strip_prefix(key).unwrap_or_default();
        rest.starts_with([']', '.']) || rest.trim_start().starts_with('=')
    };
    example.lines().any(shown)
}

/// What a key with its default gives must be what nothing gives.
#[cfg(test)]
fn wrong_default<T>(kind: &super::Kind<T>, key: &Key) -> Option<String> {
    let default = key.default?;
    if default.starts_with('(') {
        return None;
    }
    let name = key.name;
    let text = format!("{name} = {default}");
    if text.parse::<toml::Table>().is_err() {
        return Some(format!(
            "{}: the default of `{name}` is not TOML: {default}; put words in (parentheses)",
            kind.name
        ));
    }
    if name.contains('.') {
        return None;
    }
    // A kind that cannot do without another key is given what its example gives that one.
    let (_, with) = with_needed(kind, &text);
    let (needed, without) = with_needed(kind, "");
    (with != without).then(|| {
        format!(
            "{}: `{name}` = {default} is not what holds without it\n{needed}\n with: {with:?}\n \
             without: {without:?}",
            kind.name
        )
    })
}

/// The settings that a text and all keys that must be there give, without their places.
#[cfg(test)]
fn with_needed<T>(kind: &super::Kind<T>, text: &str) -> (String, Option<String>) {
    let example: toml::Table = kind.example.parse().expect("TOML");
    let mut table: toml::Table = text.parse().expect("TOML");
    for key in kind.keys.iter().filter(|key| key.default.is_none()) {
        if let Some(value) = example.get(key.name) {
            table.insert(key.name.to_owned(), value.clone());
        }
    }
    let text = table.to_string();
    let settings = parse(kind, &text).settings;
    (text, settings.map(|settings| without_places(&settings)))
}

/// A `Debug` text without the numbers of its spans.
#[cfg(test)]
fn without_places(debug: &str) -> String {
    let mut text = String::new();
    let mut rest = debug;
    while let Some(at) = rest.find("..") {
        let (before, after) = rest.split_at(at);
        text.push_str(before.trim_end_matches(|c: char| c.is_ascii_digit()));
        rest = after.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_show_keys_in_use_or_not() {
        let example = "a = 1\n# b = 2\n[c]\nd = 3\n#[e.f]\n";
        for key in ["a", "b", "c", "d", "e"] {
            assert!(is_shown(example, key), "{key}");
        }
        assert!(!is_shown(example, "f"));
        assert!(!is_shown("ab = 1", "a"));
    }

    #[test]
    fn places_do_not_make_settings_differ() {
        assert_eq!(
            without_places("Span { range: 3..17 }, 5"),
            "Span { range:  }, 5"
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        let fields = ["a", "b", "b.c"].map(str::to_owned).into();
        let keys: &[Key] = keys! {
            "a": "number" = "1", "it counts";
            "b": "table", "it holds";
            "b.d": "string", "it is not there";
            "a": "number", "it is twice";
        };
        let wrong = wrong("t", keys, &fields);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("lack\n    \"b.c\""));
        assert!(wrong[1].contains("it counts") && wrong[2].contains("b.d"));
    }
}

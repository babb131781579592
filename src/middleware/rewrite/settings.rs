//! What a `rewrite` table may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Destination, Parameter, QueryEdits, Removed, Rewrite};
use crate::build::{BuildContext, Kind, ParseContext, Problem, Regex, Section, Settings, keys};
use crate::exchange::{Middleware, Template};

/// Another path and query.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "rewrite",
    summary: "Gives the handler another path and query; logs keep what the client wrote",
    example: r#"
regex = '^/users/(?<id>[0-9]+)$'     # of the path, decoded; paths that do not match stay
to = "/user.php?id={id}"             # with what the expression has captured
keep_query = true                    # the query of the request goes along
strip_prefix = "/api"                # taken from the path
add_prefix = "/v1"                   # put before what is left

[query]
remove = ["utm_*", "fbclid"]
set = { client = "{client.ip}" }
append = { tag = "web" }
default = { page = "1" }             # where the query has none
"#,
    keys: keys! {
        "regex": "expression" = "(none)",
            "of the path, decoded; `to` is where it leads, other paths stay";
        "to": "path" = "(none)",
            "with `{name}` for what `(?<name>…)` has matched, and variables";
        "keep_query": "true or false" = "true",
            "whether the query of the request goes along with `to`";
        "strip_prefix": "path" = "(nothing)", "taken from the path, where it begins so";
        "add_prefix": "path" = "(nothing)", "put before what is left of the path";
        "query": "table" = "{}", "parameters; removed, given where missing, set, added";
        "query.remove": "list of names" = "[]", "taken away; `utm_*` is all that begin so";
        "query.default": "table of templates" = "{}", "given where the query has none";
        "query.set": "table of templates" = "{}", "in place of what there is";
        "query.append": "table of templates" = "{}", "beside what there is";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    regex: Option<Spanned<Regex>>,
    #[serde(default)]
    to: Option<Spanned<String>>,
    #[serde(default = "default_keep_query")]
    keep_query: bool,
    #[serde(default)]
    strip_prefix: Option<Spanned<String>>,
    #[serde(default)]
    add_prefix: Option<Spanned<String>>,
    #[serde(default)]
    query: WrittenQuery,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenQuery {
    remove: Vec<Spanned<String>>,
    default: BTreeMap<String, Spanned<Template>>,
    set: BTreeMap<String, Spanned<Template>>,
    append: BTreeMap<String, Spanned<Template>>,
}

const fn default_keep_query() -> bool {
    true
}

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, good) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let mut reading = Reading { section, cx };
    let pattern = reading.pattern(&written, good);
    let strip_prefix = reading.prefix(written.strip_prefix.as_ref());
    let add_prefix = reading.prefix(written.add_prefix.as_ref());
    let query = reading.query(written.query);
    (cx.problems.len() == before).then(|| {
        Box::new(Rewrite {
            pattern,
            strip_prefix,
            add_prefix,
            query,
        }) as Box<dyn Settings<Box<dyn Middleware>>>
    })
}

impl Settings<Box<dyn Middleware>> for Rewrite {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

struct Reading<'r, 's, 'p> {
    section: &'r Section<'s>,
    cx: &'r mut ParseContext<'p>,
}

impl Reading<'_, '_, '_> {
    fn pattern(&mut self, written: &Written, good: bool) -> Option<(Regex, Destination)> {
        let (regex, to) = match (&written.regex, &written.to) {
            (Some(regex), Some(to)) => (regex, to),
            (None, None) => return None,
            // The other one may be there, and wrong.
            (Some(_), None) | (None, Some(_)) if !good => return None,
            (Some(regex), None) => {
                let message = "`regex` without `to` leads nowhere";
                self.cx
                    .refuse(self.section, regex.span(), message, "add to = \"/…\"");
                return None;
            }
            (None, Some(to)) => {
                let message = "`to` without `regex` is for no path";
                let hint = "add regex = '^/…$'; '^' alone is every path";
                self.cx.refuse(self.section, to.span(), message, hint);
                return None;
            }
        };
        let groups: Vec<&str> = regex.get_ref().names().collect();
        let read = Destination::parse(to.get_ref(), &groups, written.keep_query);
        match read {
            Ok(destination) => Some((regex.get_ref().clone(), destination)),
            Err(words) => {
                let (message, hint) = words.split_once('\n').unwrap_or((&words, ""));
                self.cx.refuse(self.section, to.span(), message, hint);
                None
            }
        }
    }

    /// A prefix without the slash at its end.
    fn prefix(&mut self, written: Option<&Spanned<String>>) -> Box<str> {
        let Some(written) = written else {
            return Box::default();
        };
        let text = written.get_ref().as_str();
        // What may stand in a path as it is sent (RFC 3986 §3.3).
        let is_path = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/".contains(&byte));
        let leads_up = text.split('/').any(|segment| matches!(segment, "." | ".."));
        if !text.starts_with('/') || !is_path || leads_up || text.contains("//") {
            let message = format!("{text:?} is not a path that starts with \"/\"");
            let hint = "write it like \"/api\", percent-encoded where a path must be";
            self.cx.refuse(self.section, written.span(), message, hint);
        }
        text.trim_end_matches('/').into()
    }

    fn query(&mut self, written: WrittenQuery) -> QueryEdits {
        let removed = |name: &Spanned<String>| match name.get_ref().strip_suffix('*') {
            Some(prefix) => Removed::Prefix(prefix.into()),
            None => Removed::Name(name.get_ref().as_str().into()),
        };
        QueryEdits {
            remove: written.remove.iter().map(removed).collect(),
            default: self.parameters(written.default),
            set: self.parameters(written.set),
            append: self.parameters(written.append),
        }
    }

    fn parameters(&mut self, written: BTreeMap<String, Spanned<Template>>) -> Box<[Parameter]> {
        let parameters = written.into_iter().map(|(name, value)| {
            let span = self.section.at(value.span());
            let value = value.into_inner();
            self.cx.captured(&span, &value.captures());
            Parameter {
                name: name.into(),
                value,
            }
        });
        parameters.collect()
    }
}

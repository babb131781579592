//! `log_fields`: what the access log says of the exchanges of some routes beside the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use crate::build::{BuildContext, Kind, ParseContext, Problem, Section, Settings, keys};
use crate::exchange::{Escape, Exchange, Flow, Middleware, Template};

/// Gives the access log more to say.
pub(super) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "log_fields",
    summary: "Adds fields to what the access log says of the routes that list it",
    example: r#"
# In the log as JSON by these names, in templates as {log.team} and {log.tenant}.
fields = { team = "payments", tenant = "{header.x-tenant}" }
"#,
    keys: keys! {
        "fields": "table of templates" = "{}", "names, and what the log says under each";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    fields: BTreeMap<Spanned<String>, Template>,
}

/// Adds these fields.
#[derive(Debug, Clone)]
struct LogFields {
    fields: Vec<(Arc<str>, Template)>,
}

/// How long a name may be; arbitrary, and longer than any that is read.
const NAME_BYTES_MAX: usize = 100;

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let written: Written = cx.settings(section)?;
    let before = cx.problems.len();
    for name in written.fields.keys() {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let text = name.get_ref();
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(good) {
            let message = format!("`{text}` cannot be the name of a field of the log");
            let hint = "names have letters, digits, `_`, `-` and `.`, 100 of them at most";
            cx.refuse(section, name.span(), message, hint);
        }
    }
    let good = cx.problems.len() == before;
    let fields = written.fields.into_iter();
    let fields = fields.map(|(name, template)| (name.into_inner().into(), template));
    let fields = fields.collect();
    good.then(|| Box::new(LogFields { fields }) as Box<dyn Settings<Box<dyn Middleware>>>)
}

impl Settings<Box<dyn Middleware>> for LogFields {
    fn build(&self, _: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        Ok(Box::new(self.clone()))
    }
}

impl Middleware for LogFields {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        for (name, template) in &self.fields {
            let mut value = Vec::new();
            template.render(x, Escape::Plain, &mut value);
            if value.is_empty() {
                continue;
            }
            let log = &mut x.facts_mut().log;
            // Who is further in knows better.
            log.retain(|(known, _)| known != name);
            log.push((Arc::clone(name), value.into()));
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, problems};
    use super::*;
    use crate::exchange::testing::TestRequest;

    #[test]
    fn fields_are_added_and_the_innermost_wins() {
        let outer = build(&KIND, "fields = { team = 'a', uri = '{request.uri}' }");
        let inner = build(&KIND, "fields = { team = 'b', none = '{query.none}' }");
        let mut request = TestRequest::get("/x?y");
        let mut x = request.exchange();
        outer.on_request(&mut x);
        inner.on_request(&mut x);
        let facts = x.facts.as_ref().unwrap();
        assert_eq!(facts.logged("team"), Some(&b"b"[..]));
        assert_eq!(facts.logged("uri"), Some(&b"/x?y"[..]));
        assert_eq!(facts.log.len(), 2);
        let template: Template = "{log.team}{log.none}".parse().unwrap();
        let mut out = Vec::new();
        template.render(&x, Escape::Plain, &mut out);
        assert_eq!(out, b"b");
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| assert_eq!(problems(&KIND, text), [expected]);
        check(
            "fields = { 'a b' = '' }",
            "`a b` cannot be the name of a field of the log",
        );
        check(
            "fields = { a = '{nope}' }",
            "`fields.a`: there is no variable `{nope}`",
        );
    }
}

//! What a route asks of the headers and the query of a request.

use toml::Spanned;
use toml::de::DeValue;

use super::Resolver;
use crate::build::wording::kind_in_words;
use crate::build::{Problem, Section, Span};
use crate::config::written;
use crate::http::HeaderName;
use crate::routing::{FieldMatch, QueryMatch, Test};

/// The entry of a table of tests: a name, and what its value must be.
type Named = (String, Test);

impl Resolver<'_, '_> {
    /// The entries of `headers` or `query`: a name, and what its value must be.
    fn tests(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Vec<Named>> {
        let Some((_, table)) = section.take(key) else {
            return Some(Vec::new());
        };
        if !table.get_ref().is_table() {
            let found = kind_in_words(table.get_ref());
            let message = format!("`{key}` must be a table, found {found}");
            self.report(
                Problem::error("E0001", section.at(table.span()), message)
                    .label("must be a table")
                    .hint(format!("write it like {key} = {{ name = \"value\" }}")),
            );
            return None;
        }
        let table = Section::new(section.span().file, format!("`{key}`"), table);
        let entries = table.entries();
        let tests: Vec<_> = entries
            .iter()
            .filter_map(|(name, at, value)| {
                let named = key != "headers" || self.header_name(name, table.at(at.clone()));
                let test = self.test(name, value, &table);
                test.filter(|_| named)
                    .map(|test| ((*name).to_owned(), test))
            })
            .collect();
        (tests.len() == entries.len()).then_some(tests)
    }

    pub(super) fn header_name(&mut self, name: &str, at: Span) -> bool {
        let good = HeaderName::from_bytes(name.as_bytes()).is_some();
        if !good {
            let message = format!("`{name}` is not a header name");
            self.report(
                Problem::error("E0002", at, message)
                    .hint("a header name holds letters, digits and any of !#$%&'*+-.^_`|~"),
            );
        }
        good
    }

    fn test(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        table: &Section<'_>,
    ) -> Option<Test> {
        let at = table.at(value.span());
        match value.get_ref() {
            DeValue::String(text) => Some(Test::exact(text)),
            DeValue::Boolean(true) => Some(Test::Present),
            DeValue::Table(inner) => {
                let header = format!("`{name}` of {}", table.name());
                let inner = Spanned::new(value.span(), DeValue::Table(inner.clone()));
                let section = Section::new(at.file, header, inner);
                let written: written::Test = self.cx.settings(&section)?;
                let at = section.at(written.regex.span());
                let test = Test::regex(written.regex.get_ref());
                self.pattern("E0406", "`regex`", test, at)
            }
            _ => {
                let message = format!("`{name}` of {} cannot be tested like this", table.name());
                self.report(Problem::error("E0001", at, message).hint(
                    "a test is \"value\" for this value, true for any, or { regex = \"…\" }",
                ));
                None
            }
        }
    }

    pub(super) fn fields(&mut self, section: &mut Section<'_>) -> Option<Vec<FieldMatch>> {
        let tests = self.tests(section, "headers")?;
        let fields = tests.into_iter().map(|(name, test)| {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            Some(FieldMatch { name, test })
        });
        fields.collect()
    }

    pub(super) fn query(&mut self, section: &mut Section<'_>) -> Option<Vec<QueryMatch>> {
        let tests = self.tests(section, "query")?.into_iter();
        Some(
            tests
                .map(|(name, test)| QueryMatch {
                    name: name.into(),
                    test,
                })
                .collect(),
        )
    }
}

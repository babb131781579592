//! Tables that may be written in several places, the strongest of which wins.

use serde::de::DeserializeOwned;
use toml::Spanned;

use super::Resolver;
use crate::build::{Problem, Span};
use crate::config::file::{File, Table};
use crate::config::sources::Origin;

/// One table, as each text wrote it; the weakest first.
pub(super) struct Layers<W> {
    table: Table,
    written: Vec<(usize, W)>,
}

impl Resolver<'_, '_> {
    /// Reads a table out of every text that holds it.
    pub(super) fn layers<W: DeserializeOwned>(
        &mut self,
        file: &File<'_>,
        table: Table,
    ) -> Layers<W> {
        let mut written = Vec::new();
        for (_, section) in file.tables.iter().filter(|(known, _)| *known == table) {
            // One value that cannot be read hides no mistake in the others.
            if let (Some(read), _) = self.cx.settings_mended::<W>(section, &[]) {
                written.push((section.span().file, read));
            }
        }
        Layers { table, written }
    }

    /// The strongest value of a key, and where it stands.
    pub(super) fn pick<W, T: Clone>(
        &mut self,
        layers: &Layers<W>,
        key: &str,
        get: impl Fn(&W) -> &Option<Spanned<T>>,
    ) -> Option<(T, Span)> {
        let mut picked: Option<(T, Span)> = None;
        for (file, written) in &layers.written {
            let Some(value) = get(written) else { continue };
            let span = Span {
                file: *file,
                range: value.span(),
            };
            if let Some((_, first)) = &picked
                && self.is_file(first.file)
                && self.is_file(*file)
            {
                let header = layers.table.header();
                let message = format!("`{key}` of {header} is set twice");
                let first = first.clone();
                self.report(
                    Problem::error("E0101", span.clone(), message)
                        .label("set again here")
                        .note(first, "first set here"),
                );
            }
            picked = Some((value.get_ref().clone(), span));
        }
        if let Some((_, span)) = &picked {
            let path = format!("{}.{key}", layers.table.path());
            self.provenance.set(path, span.clone());
        }
        picked
    }

    fn is_file(&self, file: usize) -> bool {
        let source = self.sources.get(file);
        source.is_some_and(|source| source.origin == Origin::File)
    }
}

//! Where lines go.

use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;

use crate::build::{BuildContext, Problem, Rotation, Section, Sink, SinkTarget, Span};

/// Where lines go.
#[derive(Debug)]
pub(super) struct Output {
    place: Place,
    span: Span,
}

#[derive(Debug)]
enum Place {
    Stdout,
    Stderr,
    File(PathBuf, Rotation),
}

impl Output {
    /// Reads `output` and its `rotation`.
    pub(super) fn parse(
        section: &Section<'_>,
        written: Option<&Spanned<String>>,
        rotation: Option<&Spanned<Rotation>>,
    ) -> Result<Self, Box<Problem>> {
        let output = Self::parse_place(section, written, rotation)?;
        let turns = rotation.filter(|rotation| *rotation.get_ref() != Rotation::default());
        match (&output.place, turns) {
            (Place::Stdout | Place::Stderr, Some(rotation)) => {
                let span = section.at(rotation.span());
                let problem = Problem::error("E0002", span, "`rotation` is of a file");
                Err(Box::new(problem.hint("`output` names the file")))
            }
            (Place::File(..), _) | (_, None) => Ok(output),
        }
    }

    fn parse_place(
        section: &Section<'_>,
        written: Option<&Spanned<String>>,
        rotation: Option<&Spanned<Rotation>>,
    ) -> Result<Self, Box<Problem>> {
        let Some(written) = written else {
            return Ok(Self {
                place: Place::Stdout,
                span: section.span(),
            });
        };
        let span = section.at(written.span());
        let place = match written.get_ref().as_str() {
            "stdout" => Place::Stdout,
            "stderr" => Place::Stderr,
            // A word alone is a typing error rather than a file in who knows which folder.
            path if !path.contains(['/', '.']) => {
                let message = format!("`{path}` is neither an output nor a path");
                let hint = "write \"stdout\", \"stderr\" or a path such as \"logs/access.log\"";
                let problem = Problem::error("E0002", span, message).hint(hint);
                return Err(Box::new(problem));
            }
            path => {
                let rotation = rotation.map(|rotation| *rotation.get_ref());
                Place::File(path.into(), rotation.unwrap_or_default())
            }
        };
        Ok(Self { place, span })
    }

    pub(super) fn open(&self, cx: &BuildContext<'_>) -> Result<Arc<dyn Sink>, Box<Problem>> {
        let target = match &self.place {
            Place::Stdout => SinkTarget::Stdout,
            Place::Stderr => SinkTarget::Stderr,
            Place::File(path, rotation) => SinkTarget::File(cx.path(path), *rotation),
        };
        cx.sinks.open(&target).map_err(|error| {
            let message = match &target {
                SinkTarget::File(path, _) => format!("cannot open {}: {error}", path.display()),
                SinkTarget::Stdout | SinkTarget::Stderr => format!("cannot log: {error}"),
            };
            Box::new(Problem::error("E0201", self.span.clone(), message))
        })
    }
}

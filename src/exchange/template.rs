//! Texts with variables: `/new/{path.rest}`. Read once, when the configuration is; written
//! without surprises.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::variable::Moment;
use super::{Escape, Exchange, Outcome, Variable};

/// A text with variables. Braces themselves are written twice: `{{`, `}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Variable(Variable),
}

/// A text with variables of which some are known only once there is a response. What renders it
/// is [`Template::render_at`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseTemplate(pub Template);

/// A text with variables of which some are known only once the exchange is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTemplate(pub Template);

/// Why a text is no template. Its words are an operator's; what follows a line break in them is
/// the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

/// How long the text of a template may be. More is a file, not a setting.
const TEXT_BYTES_MAX: usize = 1 << 20;

impl Template {
    /// Reads a text with variables.
    fn read(text: &str, moment: Moment) -> Result<Self, TemplateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError(format!(
                "the text is longer than {TEXT_BYTES_MAX} bytes\nput it into a file"
            )));
        }
        let mut template = Self::default();
        let mut left = text;
        while let Some(brace) = left.find(['{', '}']) {
            let (before, found) = left.split_at(brace);
            template.push_text(before.as_bytes());
            left = if let Some(tail) = found.strip_prefix("{{") {
                template.push_text(b"{");
                tail
            } else if let Some(tail) = found.strip_prefix("}}") {
                template.push_text(b"}");
                tail
            } else if let Some(inner) = found.strip_prefix('{') {
                let Some((name, tail)) = inner.split_once('}') else {
                    return Err(TemplateError(
                        "a `{` opens a variable that is never closed\n\
                         close it with `}`, or write `{{` for a brace"
                            .to_owned(),
                    ));
                };
                let variable = variable(name, moment)?;
                template.pieces.push(Piece::Variable(variable));
                tail
            } else {
                return Err(TemplateError(
                    "a `}` closes no variable\nwrite `}}` for a brace".to_owned(),
                ));
            };
        }
        template.push_text(left.as_bytes());
        Ok(template)
    }

    /// A text without variables.
    pub fn text(text: &[u8]) -> Self {
        let mut template = Self::default();
        template.push_text(text);
        template
    }

    /// Adds text.
    pub fn push_text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            *last = [&**last, text].concat().into();
        } else {
            self.pieces.push(Piece::Text(text.into()));
        }
    }

    /// Adds another template, its text escaped for this place.
    pub fn push(&mut self, other: Self, escape: Escape) {
        for piece in other.pieces {
            match piece {
                Piece::Text(text) => {
                    let mut escaped = Vec::with_capacity(text.len());
                    escape.write(&text, &mut escaped);
                    self.push_text(&escaped);
                }
                Piece::Variable(_) => self.pieces.push(piece),
            }
        }
    }

    /// The text, if it has no variables: then it can be written once and for all.
    pub fn as_text(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first variable.
    pub fn leading_text(&self) -> &[u8] {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Variable(_)) | None => b"",
        }
    }

    /// The variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }

    /// The names it takes from what the path pattern captured.
    pub fn captures(&self) -> Vec<&str> {
        let names = self.variables().filter_map(|variable| match variable {
            Variable::Path(name) => Some(&**name),
            _ => None,
        });
        names.collect()
    }

    /// Appends the text, with the values of its variables escaped.
    pub fn render(&self, x: &Exchange<'_>, escape: Escape, out: &mut Vec<u8>) {
        self.render_at(x, None, escape, out);
    }

    /// The same, with what is known of the response.
    pub fn render_at(
        &self,
        x: &Exchange<'_>,
        outcome: Option<&Outcome>,
        escape: Escape,
        out: &mut Vec<u8>,
    ) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => {
                    variable.value(x, outcome, |value| escape.write(value, out));
                }
            }
        }
    }

    /// Appends a URI: values become parts of its path before the first `?` of the text, and of
    /// its query behind it.
    pub fn render_uri(&self, x: &Exchange<'_>, out: &mut Vec<u8>) {
        let mut escape = Escape::UriPath;
        let target = &x.request.target;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text);
                    if text.iter().any(|byte| matches!(byte, b'?' | b'#')) {
                        escape = Escape::UriComponent;
                    }
                }
                // What comes from the request line is URI already; encoding it would encode it
                // twice.
                Piece::Variable(Variable::RequestUri) => {
                    out.extend_from_slice(target.raw_path().as_bytes());
                    if let Some(query) = target.query() {
                        out.push(b'?');
                        out.extend_from_slice(query.as_bytes());
                    }
                }
                Piece::Variable(Variable::RequestQuery) => {
                    out.extend_from_slice(target.query().unwrap_or_default().as_bytes());
                }
                Piece::Variable(Variable::RequestHost) => {
                    // The brackets of an IPv6 address.
                    let plain =
                        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
                    let host = x.request.host().as_bytes();
                    out.extend(host.iter().filter(|byte| plain(byte)));
                }
                Piece::Variable(variable) => {
                    variable.value(x, None, |value| escape.write(value, out));
                }
            }
        }
    }
}

impl LogTemplate {
    /// Appends the text of an exchange that is over. How a value is written, and what stands
    /// where there is none, is for the log to say.
    pub fn render(
        &self,
        x: &Exchange<'_>,
        outcome: &Outcome,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&Variable, Option<&[u8]>, &mut Vec<u8>),
    ) {
        for piece in &self.0.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => {
                    let before = out.len();
                    variable.value(x, Some(outcome), |value| write(variable, Some(value), out));
                    if out.len() == before {
                        write(variable, None, out);
                    }
                }
            }
        }
    }
}

fn variable(name: &str, moment: Moment) -> Result<Variable, TemplateError> {
    let variable = Variable::parse(name)
        .map_err(|hint| TemplateError(format!("there is no variable `{{{name}}}`\n{hint}")))?;
    let known_at = variable.known_at();
    let (until, who) = match known_at {
        _ if known_at <= moment => return Ok(variable),
        Moment::Request | Moment::Response => {
            ("there is a response", "what is made for the response")
        }
        Moment::End => ("the exchange is over", "the format of `access_log`"),
    };
    Err(TemplateError(format!(
        "`{{{name}}}` is not known before {until}\nonly {who} can name it"
    )))
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::read(text, Moment::Request)
    }
}

impl FromStr for ResponseTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Template::read(text, Moment::Response).map(Self)
    }
}

impl FromStr for LogTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Template::read(text, Moment::End).map(Self)
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

struct FromText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = TemplateError>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, in which variables such as {client.ip} may stand")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for ResponseTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for LogTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;

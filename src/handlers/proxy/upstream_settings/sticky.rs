//! `sticky_cookie`.

use std::fmt::Write as _;

use serde::Deserialize;
use toml::Spanned;

use super::Check;
use crate::build::{HumanDuration, Secret};
use crate::exchange::Variable;
use crate::handlers::proxy::balance::sticky::Sticky;
use crate::http::HeaderName;

/// A secret shorter than this can be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSticky {
    #[serde(default = "name")]
    name: Spanned<String>,
    secret: Spanned<Secret>,
    #[serde(default = "root")]
    path: Spanned<String>,
    #[serde(default)]
    max_age: Option<HumanDuration>,
    #[serde(default)]
    same_site: SameSite,
    #[serde(default)]
    secure: Option<bool>,
}

/// To which requests of other sites a browser adds the cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SameSite {
    Strict,
    /// What browsers do with a cookie that does not say.
    #[default]
    Lax,
    None,
}

fn name() -> Spanned<String> {
    Spanned::new(0..0, "httpserverd_route".to_owned())
}

fn root() -> Spanned<String> {
    Spanned::new(0..0, "/".to_owned())
}

impl Check<'_, '_, '_> {
    pub(super) fn sticky(&mut self, table: &Spanned<WrittenSticky>) -> Sticky {
        let written = table.get_ref();
        let name = written.name.get_ref();
        // RFC 6265 §4.1.1: the name of a cookie is a token, as that of a field is.
        if HeaderName::from_bytes(name.as_bytes()).is_none() {
            let message = format!("`{name}` cannot be the name of a cookie");
            self.refuse(&written.name, message, "letters, digits and `_` can");
        }
        if written.secret.get_ref().expose().len() < SECRET_BYTES_MIN {
            let message = format!("a secret has {SECRET_BYTES_MIN} bytes or more");
            let hint = "make one with `openssl rand -hex 16`";
            self.refuse(&written.secret, message, hint);
        }
        let path = written.path.get_ref();
        let allowed = |byte: u8| byte != b';' && (b'!'..=b'~').contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(allowed) {
            let message = format!("{path:?} is not a path that starts with \"/\"");
            self.refuse(&written.path, message, "write it like \"/app\"");
        }
        if written.same_site == SameSite::None && written.secure == Some(false) {
            let hint = "leave `secure` out, or write same_site = \"lax\"";
            self.refuse(
                table,
                "browsers drop such a cookie unless it is secure",
                hint,
            );
        }
        let mut attributes = format!("; Path={path}; HttpOnly; SameSite={:?}", written.same_site);
        if let Some(max_age) = written.max_age {
            // Writing to a string does not fail.
            let _ = write!(attributes, "; Max-Age={}", max_age.0.as_secs());
        }
        let none_is_secure = (written.same_site == SameSite::None).then_some(true);
        Sticky {
            name: name.as_str().into(),
            cookie: Variable::Cookie(name.as_str().into()),
            secret: written.secret.get_ref().clone(),
            attributes: attributes.into(),
            secure: written.secure.or(none_is_secure),
        }
    }
}

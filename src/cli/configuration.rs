//! Which configuration is meant: a file that is named, or what the environment says.

use std::env;
use std::path::PathBuf;

use crate::config::Environment;
use crate::daemon::Configuration;

/// The variable that names a file.
const FILE: &str = "HTTPSERVER_CONFIG";

/// The variable that holds what would stand in one; so messages call it, too.
const TEXT: &str = "HTTPSERVER_CONFIG_TEXT";

/// What is meant by a command that was given this file or none.
///
/// # Errors
/// Why it cannot be told.
pub(super) fn meant(
    file: Option<PathBuf>,
    environment: &Environment,
) -> Result<Configuration, String> {
    let variable = |name| environment.get(name).filter(|value| !value.is_empty());
    match (file, variable(FILE), variable(TEXT)) {
        (Some(file), _, _) => Ok(Configuration::File(file)),
        (None, Some(file), None) => Ok(Configuration::File(file.into())),
        (None, None, Some(text)) => Ok(Configuration::Text {
            name: TEXT.into(),
            text: text.into(),
            // Where the folder has no name, relative paths start in it all the same.
            base: env::current_dir().unwrap_or_default(),
        }),
        (None, Some(_), Some(_)) => Err(format!(
            "{FILE} names a configuration and {TEXT} holds one: leave one of them out"
        )),
        (None, None, None) => Err(format!(
            "no configuration: name a file, or set {FILE} to its path or {TEXT} to what it says"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<const N: usize>(file: Option<&str>, variables: [(&str, &str); N], expected: &str) {
        let name = match meant(file.map(PathBuf::from), &variables.into()) {
            Ok(configuration) => configuration.name(),
            Err(message) => message,
        };
        assert!(name.contains(expected), "{name}");
    }

    #[test]
    fn what_is_named_outranks_the_environment_and_that_says_one_thing() {
        let both = [(FILE, "a.toml"), (TEXT, "x = 1")];
        check(Some("b.toml"), both, "b.toml");
        check(None, [both[0]], "a.toml");
        check(None, [both[0], (TEXT, "")], "a.toml");
        check(None, [both[1]], TEXT);
        check(None, both, "leave one of them out");
        check(None, [], "no configuration");
    }
}

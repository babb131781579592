//! What an `ip_filter` table may say, and its lists of networks.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::ranges::{Listed, Ranges, Verdict};
use super::{IpFilter, Networks};
use crate::build::{
    BuildContext, Kind, Network, ParseContext, Problem, Section, Settings, Span, keys,
};
use crate::exchange::Middleware;
use crate::http::StatusCode;
use crate::middleware::enforce::{Policy, default_enforce};
use crate::middleware::refusal;

/// Refuses addresses.
pub(in crate::middleware) const KIND: Kind<Box<dyn Middleware>> = Kind {
    name: "ip_filter",
    summary: "Lets clients in, or keeps them out, by their address",
    example: r#"
allow = ["10.0.0.0/8", "2001:db8::/32"]      # these, and no others
deny = ["10.66.0.0/16", "10.1.2.3"]          # of several the smallest network decides
# allow_files = ["staff.txt"]                # a network a line, read again when they change
# deny_files = ["blocked.txt"]
status = 403
enforce = true                               # false: only count and log what would be refused
"#,
    keys: keys! {
        "allow": "list of networks" = "[]",
            "who may come; if anything is allowed, others may not";
        "deny": "list of networks" = "[]",
            "who may not; of two networks the smaller decides, of one on both sides this";
        "allow_files": "list of paths" = "[]",
            "the same from files: a network a line, `#` begins a comment; read again on a change";
        "deny_files": "list of paths" = "[]", "the same for those who may not";
        "status": "status" = "403", "what they are told: 400 to 599";
        "enforce": "true or false" = "true", "false: count and log only, and refuse nothing";
    },
    parse,
};

/// As written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    allow: Vec<Network>,
    #[serde(default)]
    deny: Vec<Network>,
    #[serde(default)]
    allow_files: Vec<Spanned<PathBuf>>,
    #[serde(default)]
    deny_files: Vec<Spanned<PathBuf>>,
    #[serde(default)]
    status: Option<Spanned<StatusCode>>,
    #[serde(default = "default_enforce")]
    enforce: bool,
}

/// Read and right, but for what is in files.
#[derive(Debug)]
struct IpFilterSettings {
    listed: Vec<(Network, Verdict)>,
    files: Vec<(PathBuf, Span, Verdict)>,
    status: StatusCode,
    enforce: bool,
}

/// How large a list may be: a million networks, more than there are routes in the Internet.
const FILE_BYTES_MAX: u64 = 16 << 20;

fn parse(
    section: &Section<'_>,
    cx: &mut ParseContext<'_>,
) -> Option<Box<dyn Settings<Box<dyn Middleware>>>> {
    let before = cx.problems.len();
    let (written, _) = cx.settings_mended::<Written>(section, &[]);
    let written = written?;
    let status = refusal::status(written.status.as_ref(), StatusCode::FORBIDDEN, section, cx);
    let listed = [
        (written.allow, Verdict::Allow),
        (written.deny, Verdict::Deny),
    ];
    let listed = listed
        .into_iter()
        .flat_map(|(networks, verdict)| networks.into_iter().map(move |net| (net, verdict)));
    let files = [
        (written.allow_files, Verdict::Allow),
        (written.deny_files, Verdict::Deny),
    ];
    let files = files
        .into_iter()
        .flat_map(|(files, verdict)| files.into_iter().map(move |file| (file, verdict)));
    let files = files.map(|(file, verdict)| {
        let span = section.at(file.span());
        (file.into_inner(), span, verdict)
    });
    let settings = IpFilterSettings {
        listed: listed.collect(),
        files: files.collect(),
        status,
        enforce: written.enforce,
    };
    (cx.problems.len() == before)
        .then(|| Box::new(settings) as Box<dyn Settings<Box<dyn Middleware>>>)
}

impl Settings<Box<dyn Middleware>> for IpFilterSettings {
    fn build(&self, cx: &mut BuildContext<'_>) -> Result<Box<dyn Middleware>, Box<Problem>> {
        let mut listed = self.listed.clone();
        for (path, span, verdict) in &self.files {
            let content = cx.read(path, FILE_BYTES_MAX, span)?;
            let networks = read(&content).map_err(|(line, message)| {
                let path = path.display();
                let message = format!("{path}, line {line}: {message}");
                let problem = Problem::error("E0201", span.clone(), message);
                Box::new(problem.hint("a line holds a network or an address; `#` begins a comment"))
            })?;
            listed.extend(networks.into_iter().map(|network| (network, *verdict)));
        }
        let allows = |verdict: &Verdict| *verdict == Verdict::Allow;
        let some_allowed = self.listed.iter().any(|(_, verdict)| allows(verdict))
            || self.files.iter().any(|(_, _, verdict)| allows(verdict));
        let networks = networks(&listed, some_allowed);
        let filter = IpFilter {
            networks,
            status: self.status,
        };
        Ok(Policy::new(KIND.name, self.enforce, cx).guard(filter))
    }
}

fn networks(listed: &[(Network, Verdict)], some_allowed: bool) -> Networks {
    let (mut v4, mut v6): (Vec<Listed>, Vec<Listed>) = (Vec::new(), Vec::new());
    for (network, verdict) in listed {
        let verdict = *verdict;
        match network.0 {
            ipnet::IpNet::V4(net) => {
                let (first, last) = (net.network(), net.broadcast());
                v4.push((first.to_bits().into(), last.to_bits().into(), verdict));
            }
            ipnet::IpNet::V6(net) => {
                v6.push((net.network().to_bits(), net.broadcast().to_bits(), verdict));
            }
        }
    }
    Networks {
        v4: Ranges::new(v4),
        v6: Ranges::new(v6),
        // Also where the list of those who may come is empty: then nobody may.
        otherwise: if some_allowed {
            Verdict::Deny
        } else {
            Verdict::Allow
        },
    }
}

/// The networks of a list; the first line that holds none, and why.
fn read(content: &[u8]) -> Result<Vec<Network>, (usize, String)> {
    let mut networks = Vec::new();
    for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let text = String::from_utf8_lossy(line.trim_ascii());
        if text.is_empty() {
            continue;
        }
        let network = text.parse().map_err(|error: crate::build::UnitError| {
            let words = error.to_string();
            let message = words.lines().next().unwrap_or_default();
            (number + 1, message.to_owned())
        })?;
        networks.push(network);
    }
    Ok(networks)
}

//! What each code means, for `check --explain`.

/// A code, what it says in a few words, and a paragraph for whom they are not enough.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// `E…` is an error, `W…` a warning. Never given to another meaning.
    pub code: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Why it is one, and what to do.
    pub text: &'static str,
}

/// What a code means, however its letters are written.
pub fn explain(code: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(code.trim()))
}

macro_rules! codes {
    ($($code:literal $title:literal $text:literal)*) => {
        /// Every code there is, sorted.
        pub const CODES: &[Code] = &[$(Code { code: $code, title: $title, text: $text }),*];
    };
}

codes! {
    "E0001" "a value of the wrong type"
    "A key holds a value of another type than it takes: a number where a string belongs, one \
     string where an array does. TOML writes strings in quotes, arrays in [brackets], tables in \
     {braces} or under a [header]; true, false and numbers stand without quotes."

    "E0002" "a value that cannot be"
    "The value has the right type but is none that this key takes: a duration without a unit, a \
     number beyond its bounds, a word that is not one of the known ones. Durations are written \
     like \"10s\" or \"1m30s\", sizes like \"64KiB\" or \"10MB\", rates like \"100/s\"."

    "E0003" "an unknown key"
    "Nothing reads this key. It is an error and not a warning because a setting that is silently \
     ignored is worse than a server that does not start: a misspelt `middlware` would leave a \
     route unguarded. Keys are case-sensitive and written in snake_case."

    "E0004" "a missing key"
    "The table cannot do without this key, and no default could be right for everyone."

    "E0005" "the text is not TOML"
    "The file breaks the rules of TOML (https://toml.io) at this place, so that nobody can tell \
     what was meant. Common reasons: a string without quotes, a bracket or a quote that is never \
     closed, a key or a table written twice. While the syntax is broken, problems that may only \
     follow from it (a missing key, an unknown name) are not reported."

    "E0006" "a file cannot be read"
    "The configuration, or a file that it includes, cannot be read. It must be there, be \
     readable for the user that the daemon runs as, be UTF-8, and be no larger than 16 MiB. An \
     `include` without `*` must name a file that is there; one with `*` may match none."

    "E0007" "a variable that is not set"
    "A string holds ${NAME}, and the environment has no variable of that name. ${NAME:-default} \
     gives a default, which may be empty; $${ stands for ${ itself. Under systemd the variables \
     come from Environment= and EnvironmentFile= of the unit, not from your shell."

    "E0008" "an include that cannot be followed"
    "`include` names files relative to the file it stands in; `*` may stand in the last part of \
     a path. No file may be included twice, not even through another, and files may be included \
     8 deep and 2048 in all."

    "E0101" "defined twice"
    "Two things of one kind have the same name, or one key of [server] or [log] is set in two \
     files. Which of them would win could only be guessed, so neither does."

    "E0102" "an unknown upstream"
    "A route proxies to an upstream that is not defined. Upstreams are tables with the name in \
     their header: [upstream.backend]."

    "E0103" "an unknown middleware"
    "A route or [server] lists a middleware that is neither defined as [middleware.NAME] nor the \
     name of a type, which would stand for that type with its defaults."

    "E0104" "an unknown listener"
    "A route is to serve a listener that is not defined. A listener without a name is called by \
     its address. A route without `listener` serves all."

    "E0105" "an unknown type of middleware"
    "`type` of a [middleware.NAME] must be one of the types that this version has."

    "E0106" "a name that cannot be one"
    "Names stand in logs, as labels of metrics, and in commands; they have 1 to 100 visible \
     ASCII characters without quotes, backslashes and blanks."

    "E0112" "an unknown route"
    "A [[test]] expects an answer of a route that is not defined. A route without a name is \
     called by its host and path; `httpserverd routes` prints all of them."

    "E0201" "something named cannot be opened"
    "The configuration is right by itself, but what it names cannot be used: a folder or a file \
     that is not there, or that the user the daemon runs as may not read. Relative paths start \
     at the folder of the configuration file."

    "E0202" "something that could not be made without another thing"
    "What it needs, an upstream perhaps, could not be made, for a reason that is reported where \
     that stands."

    "E0301" "an address that cannot be listened on"
    "`bind` is an IP address with a port (\"0.0.0.0:8080\", \"[::]:8080\", \"127.0.0.1:0\" for \
     any free port) or \"unix:\" with a path. Names such as localhost are not looked up: what \
     they mean may change behind your back."

    "E0302" "an address that is taken twice"
    "Two listeners want the same address, or one wants all addresses of a port and another one \
     of them. Connections would go to either by chance. One listener serves every route; routes \
     are told apart by `host`, `path` and `listener`. 0.0.0.0 and [::] are not in each other's \
     way: sockets for IPv6 take IPv6 alone."

    "E0304" "no listener"
    "Without a [[listener]] nobody can connect."

    "E0305" "nothing is configured"
    "The file has neither a listener nor a route; perhaps it is not the file you meant."

    "E0306" "permissions on a TCP address"
    "`mode` and `owner` say who may connect to a unix socket. A TCP port has neither; who may \
     connect to it is a matter of the address and of a firewall."

    "E0307" "an unknown user or group"
    "`owner` of a unix socket names a user or a group that /etc/passwd or /etc/group does not \
     have. Those of a directory service are given by number."

    "E0308" "nobody to believe"
    "`proxy_protocol` needs the addresses of those who send PROXY headers. Whoever may send one \
     can be anybody, so only those are believed that the file names."

    "E0309" "a certificate that cannot be served"
    "A certificate and its key are PEM files that belong together: `cert` begins with the \
     certificate of the server itself, behind which those stand that lead to its authority; `key` \
     is its private key, not encrypted with a password. While the daemon runs, a pair that does \
     not fit is refused and the one before stays in use."

    "E0310" "encryption that does not go together"
    "Each of the settings of `tls` is right by itself, but together nobody could connect."

    "E0311" "nothing to speak"
    "`protocols` of a listener says which of HTTP/1.1 and HTTP/2 its clients may speak. With none \
     of them nobody could be served; left out it is both."

    "E0312" "a certificate that cannot be ordered"
    "`acme` has an authority issue a certificate by itself. It needs names of hosts (wildcards \
     need the challenge dns-01, which this server does not answer; addresses are not ordered), an \
     authority that is reached over https://, your consent to its terms, and with some authorities \
     an account that they gave you before (`eab`)."

    "E0313" "orders of certificates in each other's way"
    "What is kept of an order lies in `store`, in a folder of its authority, under the first of \
     its `domains`: two orders that share all three must be the same, and at one authority there \
     is one account. The challenge http-01 is answered in plain HTTP, so some listener must be \
     without `tls`."

    "E0401" "a route without a handler"
    "A route must have exactly one key that says what answers: a static folder, a proxy, a \
     redirect and so on."

    "E0402" "a route with two handlers"
    "A route has one answer. Two routes with the same pattern may answer different methods, \
     hosts or headers."

    "E0403" "a route without one pattern"
    "A route answers for a `path` or for a `path_regex`, for one of them. \"/*\" is every path."

    "E0404" "a path pattern that is none"
    "A path is written as it would be requested, decoded: \"/about\" is that path alone, \
     \"/users/:id\" has one segment to capture, \"/files/*rest\" answers for all below. `:` and \
     `*` stand for whole segments, and `*` at the end only."

    "E0405" "a host that is none"
    "A host is a name without scheme, port and path: \"example.com\", \"*.example.com\" for all \
     below it, an IP address, or \"*\" for any."

    "E0406" "an expression that is none"
    "The regular expression cannot be compiled, or would be too large. The syntax is that of \
     the Rust regex crate: Perl's without look-around and back-references, which is why no \
     request can make it slow."

    "E0407" "no route"
    "Without a [[route]] every answer would be 404."

    "E0501" "a limit out of bounds"
    "The limit would refuse everyone, or would let one client take memory without measure."

    "E0601" "a test of the configuration fails"
    "A [[test]] says what a request comes to, and with this configuration it comes to something \
     else. A configuration that fails its own tests is never served: a daemon does not start with \
     it, and one that runs keeps the one before."

    "E0602" "an expectation that cannot be known"
    "A [[test]] asks no server, opens no file and runs no middleware, so that checking a \
     configuration has no effects. Which route answers is always known; status and headers are of \
     `respond` and `redirect`, and where no route answers. What the other handlers answer shows \
     with the request alone."

    "W0009" "a variable that sets nothing"
    "The environment has a variable that begins with HTTPSERVER_ and that nothing reads. \
     [server], [server.limits] and [log] can be set from the environment: the key `body` of \
     [server.limits] is HTTPSERVER_SERVER__LIMITS__BODY, with two underscores where TOML nests."

    "W0107" "an upstream that no route uses"
    "Nothing is ever sent there. Perhaps a route names another by mistake."

    "W0108" "a middleware that no route uses"
    "It never runs. A middleware works only where it is listed: in `middleware` of a route, or of \
     [server] for all."

    "W0109" "a middleware that is listed twice"
    "It runs once all the same: running it twice would count or log each request double. What \
     [server] lists runs for every route and need not be listed again."

    "W0110" "a chain in an order that was hardly meant"
    "The order of the file is the order of execution, outermost first. Each of these can run, but \
     one of the two named does not do there what it is for: a log that does not hear of what was \
     answered before it, a cache that answers before a guard has looked, a password that is asked \
     for before https is."

    "W0111" "middleware that fight"
    "Two of them change or answer the same, so that one has nothing left to do, undoes the other, \
     or sends clients round in a circle."

    "W0203" "secrets that too many may read"
    "The file holds passwords, hashes or keys, and its permissions let others than its owner and \
     its group read it, or others than its owner write it: chmod 0640, or stricter. systemd's \
     LoadCredential= gives the daemon a copy that nobody else can read."

    "W0204" "a certificate that does not hold now"
    "The certificate has expired, or is not valid yet; clients will refuse it. The daemon warns \
     of it 21 days before, and the metric httpserverd_tls_certificate_not_after_seconds tells \
     when it is."

    "W0205" "servers that can be anybody"
    "With verify = false the certificates of an upstream's servers are not looked at: whoever \
     answers at their address, or stands in between, gets the requests. Name the authority that \
     issues their certificates with `ca`, or the name they are for with `server_name`."

    "W0408" "a route that is never reached"
    "Every request that this route would answer is answered by another before it. Give it a \
     narrower pattern, a `priority`, or take it out."

    "W0502" "a setting that does nothing"
    "Another setting, or the system, is always the first to act."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_say_something() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
        for code in CODES {
            assert!(
                code.text.ends_with('.') && code.text.len() > 40,
                "{}",
                code.code
            );
            assert!(!code.title.ends_with('.') && !code.title.is_empty());
        }
        assert_eq!(explain(" e0003 ").unwrap().code, "E0003");
        assert!(explain("E9999").is_none());
    }
}

//! `security_headers`: what a browser is told so that it protects who visits.

mod settings;

pub(super) use settings::KIND;

use crate::exchange::{Exchange, Middleware, Response};
use crate::http::{HeaderName, name};

/// Tells browsers to protect who visits.
#[derive(Debug, Clone)]
struct SecurityHeaders {
    /// Sent over https only: over http it could come from anyone (RFC 6797 §7.2).
    hsts: Option<Box<str>>,
    parts: Box<[(HeaderName, Box<str>)]>,
    remove: Box<[HeaderName]>,
    overwrite: bool,
}

impl Middleware for SecurityHeaders {
    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let headers = &mut response.headers;
        for name in &self.remove {
            headers.remove(name);
        }
        let hsts = self.hsts.as_ref().filter(|_| x.is_secure());
        let hsts = hsts.map(|value| (&name::STRICT_TRANSPORT_SECURITY, value));
        let parts = self.parts.iter().map(|(name, value)| (name, value));
        for (name, value) in hsts.into_iter().chain(parts) {
            if self.overwrite || !headers.contains(name) {
                headers.set(name, &**value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::TestRequest;
    use crate::http::StatusCode;
    use crate::middleware::tests::{build, problems};

    const PRESET: &[&str] = &[
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: SAMEORIGIN",
        "Referrer-Policy: strict-origin-when-cross-origin",
        "Permissions-Policy: camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Content-Security-Policy: base-uri 'self'; object-src 'none'; frame-ancestors 'self'",
        "Cross-Origin-Opener-Policy: same-origin-allow-popups",
    ];

    /// What a response that sends a policy of its own comes out with.
    fn sent(settings: &str, secure: bool, own: Option<&str>) -> Vec<String> {
        let mut request = TestRequest::get("/");
        request.connection.secure = secure;
        let mut response = Response::new(StatusCode::OK).with(&name::X_POWERED_BY, "x");
        if let Some(own) = own {
            response.headers.append(&name::CONTENT_SECURITY_POLICY, own);
        }
        build(&KIND, settings).on_response(&mut request.exchange(), &mut response);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = response.headers.iter();
        fields
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect()
    }

    #[test]
    fn the_preset() {
        assert_eq!(sent("", false, None), PRESET);
        let secure = sent("", true, None);
        assert_eq!(secure[0], "Strict-Transport-Security: max-age=31536000");
        assert_eq!(secure[1..], *PRESET);
    }

    #[test]
    fn https_before_a_trusted_proxy_counts() {
        for (trusted, expected) in [(true, 7), (false, 6)] {
            let mut request = TestRequest::get("/").header("X-Forwarded-Proto", "https");
            let mut x = request.exchange();
            x.trusted_peer = trusted;
            let mut response = Response::new(StatusCode::OK);
            build(&KIND, "").on_response(&mut x, &mut response);
            assert_eq!(response.headers.len(), expected);
        }
    }

    #[test]
    fn each_part_can_be_another_or_none() {
        let off = "hsts = false\ncontent_type_options = false\nframe_options = false\n\
                   referrer_policy = false\npermissions_policy = false\n\
                   content_security_policy = false\ncross_origin_opener_policy = false\n";
        assert_eq!(sent(off, true, None), Vec::<String>::new());
        let other = format!("{off}remove = []\ncross_origin_resource_policy = 'same-site'");
        assert_eq!(
            sent(&other, true, None),
            ["X-Powered-By: x", "Cross-Origin-Resource-Policy: same-site"]
        );
        let other = "content_security_policy = \"default-src 'none'\"\nframe_options = 'DENY'";
        let sent = sent(other, false, None);
        assert_eq!(sent.len(), 6);
        assert!(sent.contains(&"Content-Security-Policy: default-src 'none'".to_owned()));
        assert!(sent.contains(&"X-Frame-Options: DENY".to_owned()));
    }

    #[test]
    fn what_the_handler_sends_is_kept_unless_told_otherwise() {
        let kept = sent("", false, Some("default-src *"));
        assert_eq!(kept[0], "Content-Security-Policy: default-src *");
        let replaced = sent("overwrite = true", false, Some("default-src *"));
        assert_eq!(replaced[0], PRESET[4]);
        assert_eq!((kept.len(), replaced.len()), (6, 6));
    }

    #[track_caller]
    fn check_problem(text: &str, expected: &str) {
        let found = problems(&KIND, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }

    #[test]
    fn mistakes() {
        check_problem("hsts = true", "true says nothing");
        check_problem(
            "hsts = 'includeSubDomains'",
            "without a max-age does nothing",
        );
        check_problem("hsts = 'max-age=60; preload'", "browsers preload only");
        check_problem(
            "frame_options = 'ALLOW-FROM x'",
            "browsers know no `ALLOW-FROM x`",
        );
        check_problem(
            "referrer_policy = 'origin, none'",
            "browsers know no `none`",
        );
        check_problem(
            "content_security_policy = 'default-src: *'",
            "`default-src: *`",
        );
        check_problem("content_security_policy = ''", "cannot be empty");
        check_problem("permissions_policy = \"a\\nb\"", "visible ASCII");
        check_problem("remove = ['a b']", "`a b` is not a header name");
    }
}

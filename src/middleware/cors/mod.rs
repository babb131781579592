//! `cors`: which pages of other origins may use what is here (the CORS protocol of the Fetch
//! standard, §3.2).

mod origins;
mod settings;

use origins::Origins;
pub(super) use settings::KIND;

use crate::exchange::{Exchange, Flow, Middleware, Response};
use crate::http::{HeaderName, Headers, Method, StatusCode, name};

/// Tells browsers which pages of other origins may use what is here.
#[derive(Debug)]
struct Cors {
    origins: Origins,
    methods: Granted,
    headers: Granted,
    /// The fields pages may read; empty for those they may read anyway.
    expose: Box<str>,
    credentials: bool,
    /// How long a browser may remember the answer to a preflight, in seconds.
    max_age: Box<str>,
}

/// What a preflight is granted.
#[derive(Debug)]
enum Granted {
    /// Whatever it asks for.
    Asked,
    /// These, as the field lists them; empty for none.
    List(Box<str>),
}

impl Middleware for Cors {
    fn on_request(&self, x: &mut Exchange<'_>) -> Flow {
        if is_preflight(x) {
            Flow::Respond(self.preflight(&x.request.headers))
        } else {
            Flow::Continue
        }
    }

    fn on_response(&self, x: &mut Exchange<'_>, response: &mut Response) {
        let headers = &mut response.headers;
        // What stands behind us may think otherwise; who configured us decides.
        headers.remove(&name::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(&name::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if self.allow(&x.request.headers, headers) && !self.expose.is_empty() {
            headers.set(&name::ACCESS_CONTROL_EXPOSE_HEADERS, &*self.expose);
        }
    }
}

/// An OPTIONS of anything else than a browser asking for leave is a request like others.
fn is_preflight(x: &Exchange<'_>) -> bool {
    let headers = &x.request.headers;
    x.request.method == Method::Options
        && headers.contains(&name::ORIGIN)
        && headers.contains(&name::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    fn preflight(&self, request: &Headers) -> Response {
        let mut response = Response::new(StatusCode::NO_CONTENT);
        let headers = &mut response.headers;
        if self.allow(request, headers) {
            let asked = [
                (
                    &self.methods,
                    &name::ACCESS_CONTROL_REQUEST_METHOD,
                    &name::ACCESS_CONTROL_ALLOW_METHODS,
                ),
                (
                    &self.headers,
                    &name::ACCESS_CONTROL_REQUEST_HEADERS,
                    &name::ACCESS_CONTROL_ALLOW_HEADERS,
                ),
            ];
            for (granted, asked, grant) in asked {
                match granted {
                    Granted::List(list) if list.is_empty() => {}
                    Granted::List(list) => headers.set(grant, &**list),
                    Granted::Asked => give_back(request, asked, headers, grant),
                }
            }
            headers.set(&name::ACCESS_CONTROL_MAX_AGE, &*self.max_age);
        }
        headers.add_member(&name::VARY, "Origin");
        for (granted, asked) in [
            (&self.methods, &name::ACCESS_CONTROL_REQUEST_METHOD),
            (&self.headers, &name::ACCESS_CONTROL_REQUEST_HEADERS),
        ] {
            if matches!(granted, Granted::Asked) {
                headers.add_member(&name::VARY, asked.as_str());
            }
        }
        response
    }

    /// Allows the origin of the request, if it is allowed; whether it is. A response that would
    /// be another for another origin says so, also if it is none of the allowed or none at all:
    /// a cache must not give it to others.
    fn allow(&self, request: &Headers, response: &mut Headers) -> bool {
        if matches!(self.origins, Origins::Any) {
            response.set(&name::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            return true;
        }
        response.add_member(&name::VARY, "Origin");
        let mut origins = request.get_all(&name::ORIGIN);
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        if !self.origins.allow(origin) {
            return false;
        }
        response.set(&name::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            response.set(&name::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        true
    }
}

/// Grants what was asked for, as far as it is a list of names.
fn give_back(request: &Headers, asked: &HeaderName, response: &mut Headers, grant: &HeaderName) {
    let mut list = Vec::new();
    for member in request.list(asked) {
        if HeaderName::from_bytes(member).is_none() {
            continue;
        }
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(member);
    }
    if !list.is_empty() {
        response.set(grant, list);
    }
}

#[cfg(test)]
mod tests;

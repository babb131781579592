//! Files of a directory: found beneath its root, kept ready, sent whole, in parts or not at all.

mod cache;
mod content;
mod listing;
mod representation;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::io::Errno;

use super::Handler;
use crate::clock;
use crate::exchange::{Exchange, PoolFull, Response, Why};
use crate::http::{Method, StatusCode, Target, name};
use crate::sys::beneath::Root;
use cache::FileCache;
use content::ReadError;
use representation::{Content, Identity, Representation, Resource};
use resolve::{Found, Hit, Missed, Site};
pub(super) use settings::KIND;
use settings::{Coding, Presentation};

/// Serves the files of a directory.
pub struct StaticFiles {
    /// Unlike that of any other there has been in this process: whose entry it is in a cache.
    id: u64,
    /// Ends with this handler, so that caches can tell.
    alive: Arc<()>,
    root: Arc<Root>,
    /// Without a slash at its end.
    strip_prefix: Box<[u8]>,
    site: Arc<Site>,
    presentation: Presentation,
}

/// The files that answer: the plain one and its siblings.
struct Opened {
    plain: (File, Identity),
    coded: Vec<(Coding, File, Identity)>,
}

impl StaticFiles {
    fn new(
        root: Arc<Root>,
        strip_prefix: Box<[u8]>,
        site: Site,
        presentation: Presentation,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            alive: Arc::new(()),
            root,
            strip_prefix,
            site: Arc::new(site),
            presentation,
        }
    }

    /// Answers a request with a file, a listing, a redirection or an error.
    pub(super) async fn handle(&self, x: &Exchange<'_>) -> Response {
        self.handle_at(x, clock::now()).await
    }

    async fn handle_at(&self, x: &Exchange<'_>, now: Instant) -> Response {
        let request = &*x.request;
        if !matches!(request.method, Method::Get | Method::Head) {
            return Response::error(StatusCode::METHOD_NOT_ALLOWED, Why::MethodNotAllowed)
                .with(&name::ALLOW, "GET, HEAD");
        }
        if request.target.has_encoded_separator() {
            return Response::error(StatusCode::BAD_REQUEST, Why::BadPath);
        }
        let Some(path) = self.local(&request.target) else {
            return Response::error(StatusCode::NOT_FOUND, Why::FileNone);
        };
        let cache = x.locals.keep::<FileCache>();
        if let Some(resource) = cache.fresh(self.id, path, now) {
            return resource.respond(request);
        }
        // Boxed, so that a hit has no room for what only a miss needs.
        match Box::pin(self.look_up(x, &cache, path, now)).await {
            Ok(response) => response,
            Err(failure) => self.refuse(&cache, path, failure, now),
        }
    }

    /// The path beneath the root, with its slash: empty if the prefix is all there is.
    fn local<'t>(&self, target: &'t Target) -> Option<&'t [u8]> {
        let path = target.path().strip_prefix(&*self.strip_prefix)?;
        matches!(path, [] | [b'/', ..]).then_some(path)
    }

    /// Answers from the file system, and keeps what it finds.
    async fn look_up(
        &self,
        x: &Exchange<'_>,
        cache: &FileCache,
        path: &[u8],
        now: Instant,
    ) -> Result<Response, Failure> {
        let root = cache.root(self.id, &self.root, &self.alive, now);
        let hit = match self.site.find(&root, path) {
            Ok(Found::File(hit)) => hit,
            Ok(Found::Directory) => return Ok(to_directory(&x.request.target)),
            Ok(Found::Listing(directory)) => {
                return self.list(x, root, directory, path).await;
            }
            Err(missed) => {
                cache.forget(self.id, path);
                return Err(missed.into());
            }
        };
        let Hit {
            file,
            identity,
            name,
            key,
        } = hit;
        let opened = Opened {
            coded: self.siblings(&root, &name, &identity)?,
            plain: (file, identity),
        };
        if let Some(resource) = cache.renew(self.id, &key, opened.identities(), now) {
            return Ok(resource.respond(x.request));
        }
        let resource = Rc::new(self.load(x, opened, &name).await?);
        if resource.is_settled() {
            cache.insert(self.id, &key, &resource, now, x.locals.workers);
        }
        Ok(resource.respond(x.request))
    }

    /// The precompressed siblings there are. One that may not be read is as good as none, and so
    /// is one that is older than what it was made of: someone changed that and forgot the
    /// sibling, and who accepts it would be sent what is no longer there.
    fn siblings(
        &self,
        root: &Root,
        name: &[u8],
        plain: &Identity,
    ) -> Result<Vec<(Coding, File, Identity)>, Failure> {
        let mut found = Vec::new();
        for &coding in &self.presentation.precompressed {
            let name = [name, b".", coding.extension().as_bytes()].concat();
            match resolve::open(root, &name) {
                Ok((file, metadata)) if metadata.is_file() => {
                    let identity = Identity::of(&metadata);
                    if !identity.is_older_than(plain) {
                        found.push((coding, file, identity));
                    }
                }
                Ok(_) | Err(Missed::Nothing | Missed::Unlisted | Missed::Refused(_)) => {}
                Err(Missed::Failed(error)) => return Err(Failure::Failed(error)),
            }
        }
        Ok(found)
    }

    async fn load(
        &self,
        x: &Exchange<'_>,
        opened: Opened,
        name: &[u8],
    ) -> Result<Resource, Failure> {
        let (file, identity) = opened.plain;
        let plain = self.represent(x, file, identity, name, None).await?;
        let mut coded = Vec::with_capacity(opened.coded.len());
        for (coding, file, identity) in opened.coded {
            let representation = self.represent(x, file, identity, name, Some(coding));
            coded.push((coding, representation.await?));
        }
        Ok(Resource { plain, coded })
    }

    async fn represent(
        &self,
        x: &Exchange<'_>,
        file: File,
        mut identity: Identity,
        name: &[u8],
        coding: Option<Coding>,
    ) -> Result<Representation, Failure> {
        let file = Arc::new(file);
        let mut content = Content::Open(Arc::clone(&file), identity.size());
        if identity.size() <= content::SMALL {
            let size = usize::try_from(identity.size()).unwrap_or(0);
            let bytes = content::read(&file, size, &x.locals.blocking).await?;
            let after = file.metadata().map_err(|error| Failure::from(&error))?;
            let after = Identity::of(&after);
            if after == identity && bytes.len() == size {
                content = Content::Memory(bytes);
            } else {
                // Someone writes to it just now: it is sent as it then is, and not kept.
                identity = after;
                content = Content::Open(Arc::clone(&file), after.size());
            }
        }
        let presentation = &self.presentation;
        Ok(Representation::new(
            identity,
            content,
            name,
            coding,
            presentation,
        ))
    }

    async fn list(
        &self,
        x: &Exchange<'_>,
        root: Arc<Root>,
        directory: File,
        path: &[u8],
    ) -> Result<Response, Failure> {
        let wanted = listing::Wanted::of(x.request);
        let site = Arc::clone(&self.site);
        let local = path.to_vec();
        let work = move || listing::read(&root, &directory, &local, &site, wanted);
        match x.locals.blocking.run(work).await {
            Ok(Ok(entries)) => Ok(listing::respond(x.request, &entries)),
            Ok(Err(error)) => Err(Missed::from(error).into()),
            Err(PoolFull) => Err(Failure::Overloaded),
        }
    }

    /// The response to what could not be answered; what the operator should know goes to the
    /// log, at a bounded rate.
    fn refuse(&self, cache: &FileCache, path: &[u8], failure: Failure, now: Instant) -> Response {
        match failure {
            Failure::Nothing => Response::error(StatusCode::NOT_FOUND, Why::FileNone),
            Failure::Unlisted => Response::error(StatusCode::FORBIDDEN, Why::FileForbidden),
            Failure::Refused(error) => {
                self.complain(cache, now, path, error);
                Response::error(StatusCode::FORBIDDEN, Why::FileForbidden)
            }
            Failure::Failed(error @ (Errno::MFILE | Errno::NFILE | Errno::AGAIN)) => {
                cache.close_files();
                self.complain(cache, now, path, error);
                Response::error(StatusCode::SERVICE_UNAVAILABLE, Why::FileError)
                    .with(&name::RETRY_AFTER, "1")
            }
            Failure::Failed(error) => {
                self.complain(cache, now, path, error);
                Response::error(StatusCode::INTERNAL_SERVER_ERROR, Why::FileError)
            }
            Failure::Overloaded => {
                Response::error(StatusCode::SERVICE_UNAVAILABLE, Why::Overloaded)
                    .with(&name::RETRY_AFTER, "1")
            }
        }
    }

    fn complain(&self, cache: &FileCache, now: Instant, path: &[u8], error: Errno) {
        let Some(unsaid) = cache.may_complain(now) else {
            return;
        };
        let root = self.root.path();
        let path = String::from_utf8_lossy(path);
        tracing::warn!(?root, ?path, %error, unsaid, "a file could not be served");
    }
}

impl Opened {
    fn identities(&self) -> impl Iterator<Item = Identity> {
        let coded = self.coded.iter().map(|(_, _, identity)| *identity);
        std::iter::once(self.plain.1).chain(coded)
    }
}

/// Why there is no file to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Nothing,
    Unlisted,
    Refused(Errno),
    Failed(Errno),
    Overloaded,
}

impl From<Missed> for Failure {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Nothing => Self::Nothing,
            Missed::Unlisted => Self::Unlisted,
            Missed::Refused(error) => Self::Refused(error),
            Missed::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => Self::Failed(error),
            ReadError::Overloaded => Self::Overloaded,
        }
    }
}

impl From<&std::io::Error> for Failure {
    fn from(error: &std::io::Error) -> Self {
        Self::Failed(Errno::from_io_error(error).unwrap_or(Errno::IO))
    }
}

/// To the same path with a slash at its end, so that relative links in what is there lead
/// beneath it. Made from the normalised path: it starts with one slash, and so names no host.
fn to_directory(target: &Target) -> Response {
    let mut location = listing::percent_encoded(target.path());
    location.push('/');
    if let Some(query) = target.query() {
        location.push('?');
        location.push_str(query);
    }
    Response::new(StatusCode::PERMANENT_REDIRECT).with(&name::LOCATION, location)
}

impl fmt::Debug for StaticFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticFiles({:?})", self.root)
    }
}

//! What requests for files come to: a handler made from TOML, a folder of files, a hand-made
//! exchange.

mod bounds;
mod keeping;
mod listing;
mod paths;
mod sending;
mod settings;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::StaticFiles;
use crate::build::{BuildContext, CarryOver, ParseContext, Problem, Section};
use crate::clock;
use crate::exchange::testing::TestRequest;
use crate::exchange::{Body, FileSlice, Part, Response, Why};
use crate::handlers::Handler;
use crate::http::{HeaderName, Method, name};

/// A folder with files, a handler that serves it, and the worker that does.
struct Site {
    folder: tempfile::TempDir,
    handler: StaticFiles,
    worker: Option<TestRequest>,
    /// How much later than now it is.
    later: Duration,
}

/// What came back, its body read.
struct Answer {
    response: Response,
    body: Vec<u8>,
}

impl Site {
    /// With these settings beside the root. A path that ends with a slash is a directory.
    fn new(settings: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.to_str().unwrap().ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::write(path, content).unwrap();
            }
        }
        let handler = build(&format!("root = '.'\n{settings}"), folder.path().into()).unwrap();
        Self {
            folder,
            handler,
            worker: None,
            later: Duration::ZERO,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    #[track_caller]
    fn get(&mut self, target: &str) -> Answer {
        self.get_with(target, &[])
    }

    #[track_caller]
    fn get_with(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::Get, target, fields)
    }

    #[track_caller]
    fn send(&mut self, method: Method, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = match self.worker.take() {
            None => TestRequest::get(target),
            Some(worker) => worker.again(target),
        };
        request.head.method = method;
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let now = clock::now() + self.later;
        let handler = &self.handler;
        let response = request.run(async |x| handler.handle_at(x, now).await);
        self.worker = Some(request);
        let body = read(&response.body);
        Answer { response, body }
    }
}

impl Answer {
    fn status(&self) -> u16 {
        self.response.status.code()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn field(&self, name: &HeaderName) -> &str {
        self.response.headers.get_str(name).unwrap_or("")
    }

    fn why(&self) -> Option<Why> {
        self.response.why
    }

    fn is_in_memory(&self) -> bool {
        matches!(self.response.body, Body::Bytes(_))
    }
}

fn build(toml: &str, base: PathBuf) -> Result<StaticFiles, Vec<Problem>> {
    let section = Section::from_text(toml).unwrap();
    let mut cx = ParseContext::default();
    let Some(settings) = (super::KIND.parse)(&section, &mut cx) else {
        return Err(cx.problems);
    };
    let mut carry_over = CarryOver::default();
    match settings.build(&mut BuildContext::new(&mut carry_over, base)) {
        Ok(Handler::Static(files)) => Ok(*files),
        Ok(other) => panic!("{other:?}"),
        Err(problem) => Err(vec![*problem]),
    }
}

fn read(body: &Body) -> Vec<u8> {
    match body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File(slice) => read_slice(slice),
        Body::Parts(parts) => parts
            .iter()
            .flat_map(|part| match part {
                Part::Bytes(bytes) => bytes.to_vec(),
                Part::File(slice) => read_slice(slice),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn read_slice(slice: &FileSlice) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(slice.length).unwrap()];
    let file = &slice.file;
    file.read_exact_at(&mut content, slice.offset).unwrap();
    content
}

//! Measures httpserverd against its peers: CPU time a request, memory, time to start.
//!
//! `cargo bench --bench peers -- [--quick] [--only NAME]… [--rounds N] [--seconds N]`
//!
//! Installs nothing: nginx, `HAProxy` and Caddy are measured where they are found, with the
//! configurations under `conf/`; wrk must be there, and h2load for HTTP/2. Each server runs
//! pinned to core 0, the load and the upstreams on core 1. The figure is the CPU time of the
//! server process and its children, divided by the requests that were answered: unlike
//! throughput it stays put when the machine is noisy. Rounds are interleaved, and a ratio is the
//! median of the ratios within each round.

#![expect(clippy::print_stdout, reason = "it prints a table")]

mod cases;
mod contenders;
mod floor;
mod footprint;
mod load;
mod probe;
mod process;
mod table;
mod tls;
mod wait;

use cases::{Case, Face, Load};
use contenders::{Contender, Server, Stage};
use load::Loads;
use probe::Answer;
use table::Line;

/// What can go wrong ends the bench; a sentence says why.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).peekable();
    match args.peek().map(String::as_str) {
        Some("--launch") => process::launch(args.skip(1)),
        Some("--floor") => {
            let args: Vec<String> = args.skip(1).collect();
            let [port, body, upstream @ ..] = args.as_slice() else {
                return Err("--floor wants a port, a length and perhaps an upstream's port".into());
            };
            let upstream = upstream.first().map(|port| port.parse()).transpose()?;
            Ok(floor::run(port.parse()?, body.parse()?, upstream)?)
        }
        Some("--handshakes") => {
            println!("{}", tls::handshakes(args.skip(1))?);
            Ok(())
        }
        _ => measure(&Plan::read(args)?),
    }
}

/// What was asked for on the command line.
#[derive(Debug)]
struct Plan {
    rounds: usize,
    seconds: u64,
    starts: usize,
    idle: usize,
    only: Vec<String>,
}

impl Plan {
    fn read(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        // Long enough that 64 new connections are nothing, short enough that a full run
        // takes about eight minutes.
        let mut plan = Self {
            rounds: 5,
            seconds: 3,
            starts: 15,
            idle: 5000,
            only: Vec::new(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--quick" => (plan.rounds, plan.seconds, plan.starts) = (2, 1, 5),
                "--only" => plan.only.push(value()?),
                "--rounds" => plan.rounds = value()?.parse()?,
                "--seconds" => plan.seconds = value()?.parse::<u64>()?.max(1),
                // cargo bench says this to every bench.
                "--bench" => {}
                _ => {
                    let names: Vec<_> = cases::ALL.iter().map(|case| case.name).collect();
                    return Err(format!(
                        "unknown argument {arg}; --quick, --rounds N, --seconds N, --only NAME \
                         with NAME a server or one of {}, footprint",
                        names.join(", ")
                    )
                    .into());
                }
            }
        }
        Ok(plan)
    }

    /// Whether `--only` leaves this in: names of servers choose among servers, all others
    /// among cases.
    fn wants(&self, name: &str, among: &[&str]) -> bool {
        let mut chosen = self
            .only
            .iter()
            .filter(|only| among.contains(&only.as_str()));
        match chosen.next() {
            None => true,
            Some(first) => first == name || chosen.any(|only| only == name),
        }
    }

    fn wants_case(&self, name: &str) -> bool {
        let mut among: Vec<_> = cases::ALL.iter().map(|case| case.name).collect();
        among.push("footprint");
        self.wants(name, &among)
    }

    fn contenders(&self) -> Vec<Contender> {
        let names = contenders::ALL.map(Contender::name);
        let wanted = contenders::ALL.into_iter();
        wanted
            .filter(|one| self.wants(one.name(), &names))
            .collect()
    }
}

fn measure(plan: &Plan) -> Outcome<()> {
    wait::catch_interrupts()?;
    let files = footprint::raise_limit()?;
    let cores = std::thread::available_parallelism()?.get();
    let load_core = usize::from(cores > 1);
    if cores == 1 {
        println!("NOTE: one core only: server and load share it");
    }
    let dir = tempfile::Builder::new().prefix("peers-bench-").tempdir()?;
    let loads = Loads::find(dir.path(), load_core)?;
    let stage = Stage::set(dir.path(), load_core)?;

    let mut present = Vec::new();
    for contender in plan.contenders() {
        match contender.version() {
            Some(version) => {
                println!("{}: {version}", contender.name());
                present.push(contender);
            }
            None => println!("SKIPPED {}: not installed", contender.name()),
        }
    }
    println!(
        "{} rounds of {} s, {cores} cores, server on core {}, load on core {load_core}\n",
        plan.rounds,
        plan.seconds,
        contenders::SERVER_CORE
    );

    work(plan, &stage, &loads, &mut present)?;
    if plan.wants_case("footprint") {
        let idle = plan.idle.min(usize::try_from(files / 3)?);
        rest(plan, &stage, &present, idle);
    }
    Ok(())
}

/// CPU time a request, in interleaved rounds.
fn work(plan: &Plan, stage: &Stage, loads: &Loads, present: &mut Vec<Contender>) -> Outcome<()> {
    let mut servers = Vec::new();
    present.retain(|contender| match stage.start(*contender) {
        Ok(server) => {
            servers.push(server);
            true
        }
        Err(error) => {
            println!("SKIPPED {}: {error}", contender.name());
            false
        }
    });
    let mut lines = Vec::new();
    for case in cases::ALL.iter().filter(|case| plan.wants_case(case.name)) {
        let line = rounds(plan, stage, loads, &servers, case)?;
        println!("{}", table::work(present, std::slice::from_ref(&line)));
        lines.push(line);
    }
    println!("\n{}", table::work(present, &lines));
    Ok(())
}

fn rounds(
    plan: &Plan,
    stage: &Stage,
    loads: &Loads,
    servers: &[Server],
    case: &'static Case,
) -> Outcome<Line> {
    let mut able = Vec::new();
    for server in servers.iter().filter(|one| one.contender.does(case)) {
        match first_answers(stage, server, case) {
            Ok(answer) => able.push((server, answer)),
            Err(error) => println!("SKIPPED {} {}: {error}", server.contender.name(), case.name),
        }
    }
    let mut rounds: Vec<_> = able
        .iter()
        .map(|(server, _)| (server.contender, Vec::new()))
        .collect();
    for _ in 0..plan.rounds {
        for ((server, answer), (_, figures)) in able.iter().zip(&mut rounds) {
            let sample = loads.drive(server, case, *answer, plan.seconds)?;
            if sample.errors > 0 {
                let name = server.contender.name();
                println!("WARNING: {name} {}: {} errors", case.name, sample.errors);
            }
            figures.push(sample.cpu_us);
        }
    }
    Ok(Line { case, rounds })
}

/// A few requests before the load: what the answer is, and warm caches.
fn first_answers(stage: &Stage, server: &Server, case: &Case) -> Outcome<Answer> {
    let (port, path) = (server.ports.of(case), case.work.path());
    let answer = match case.face {
        Face::Quiet | Face::Logged => {
            let stream = contenders::connect(port)?;
            warmed_up(|| probe::ask(&stream, path))?
        }
        // Over HTTP/1.1 also where the load is HTTP/2: the answer is the same.
        Face::Tls => {
            let client = tls::client(&stage.dir, Load::KeepAlive)?;
            let mut stream = tls::connect(port, &client)?;
            warmed_up(|| probe::ask(&mut stream, path))?
        }
    };
    if !case.work.has_length(answer.body) {
        return Err(format!("a body of {} bytes", answer.body).into());
    }
    Ok(answer)
}

fn warmed_up(mut ask: impl FnMut() -> Outcome<Answer>) -> Outcome<Answer> {
    for _ in 0..5 {
        ask()?;
    }
    ask()
}

/// Memory and time to start, each on fresh processes.
fn rest(plan: &Plan, stage: &Stage, present: &[Contender], idle: usize) {
    println!(
        "{idle} idle connections, the median of {} starts",
        plan.starts
    );
    let mut all = Vec::new();
    for contender in present {
        match footprint::measure(stage, *contender, plan.starts, idle) {
            Ok(footprint) => all.push((*contender, footprint)),
            Err(error) => println!("SKIPPED {}: {error}", contender.name()),
        }
    }
    println!("{}", table::footprints(&all));
}

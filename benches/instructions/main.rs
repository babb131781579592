//! Counts the instructions of the parts: figures that repeat, on any machine however busy.
//!
//! `cargo bench --bench instructions -- [NAME…]`
//!
//! The bench starts itself under callgrind twice a case, with N and with 2N iterations, and
//! prints the difference for one iteration: what is done once, the start of the process and
//! the building of tables, falls out. Needs valgrind; says so where there is none.

#![expect(clippy::print_stdout, reason = "it prints a table")]

mod answers;
mod cases;

use std::process::{Command, Stdio};

use cases::Case;

/// What the daemon allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can go wrong ends the bench; a sentence says why.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // cargo bench says this to every bench.
    args.retain(|arg| arg != "--bench");
    if let [run, name, iterations] = &args[..]
        && run == "--run"
    {
        let case = cases::ALL.iter().find(|case| case.name == name);
        (case.ok_or("no such case")?.run)(iterations.parse()?);
        return Ok(());
    }
    if Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("SKIPPED: valgrind is not installed");
        return Ok(());
    }
    println!("| instructions an operation |         |");
    println!("|---------------------------|--------:|");
    for case in &cases::ALL {
        if args.is_empty() || args.iter().any(|arg| case.name.contains(arg.as_str())) {
            println!("| {:<25} | {:>7} |", case.name, instructions(case)?);
        }
    }
    Ok(())
}

/// Instructions of one iteration, rounded down.
fn instructions(case: &Case) -> Outcome<u64> {
    let once = collect(case, case.iterations)?;
    let twice = collect(case, case.iterations * 2)?;
    Ok(twice.saturating_sub(once) / case.iterations)
}

/// Instructions of a whole process that runs the case so many times.
fn collect(case: &Case, iterations: u64) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--run", case.name, &iterations.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {said}", case.name).into());
    }
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .ok_or("callgrind collected nothing")?;
    Ok(collected.1.trim().parse()?)
}

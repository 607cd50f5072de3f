//! Access from request to evidence, on a log in one SQLite file and without a server: `cargo run --example quickstart`.
//!
//! Reads policies, a directory and a file of requests from `input/`, runs the requests through a broker with a clock that is
//! moved by hand, writes the evidence to `target/quickstart/`, and has it checked by the `jit-audit` program, which knows
//! nothing but the files and the public key. Run again, it continues the log it finds there. Exits with 0 only if everything
//! was as it must be.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it does")]

mod account;
mod auditor;
mod clock;
mod deployment;
mod evidence;
mod keys;
mod members;
mod principals;
mod requests;
mod run;
mod token;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use account::{Account, causes, ending, surprise};
use auditor::Auditor;
use clock::DrivenClock;
use deployment::{Deployment, load_policy};
use evidence::Folder;
use jit_core::{Clock as _, PrincipalId};
use requests::Scenario;
use run::Run;

#[tokio::main]
async fn main() -> ExitCode {
    match quickstart().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nquickstart: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn quickstart() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = examples.parent().ok_or("the examples are not in a workspace")?;
    let input = examples.join("quickstart/input");
    let folder = Folder::open(workspace.join("target/quickstart"))?;

    let clock = Arc::new(DrivenClock::starting_now()?);
    let directory = read(&input.join("directory.json"))?;
    let place = Deployment::open(&folder, Arc::clone(&clock), &directory).await?;
    let scenario = requests::read("requests.json", &read(&input.join("requests.json"))?, clock.now().at)?;

    let policy = load_policy(&input.join("policy"))?;
    let manifest = policy.document().manifest();
    println!("Policy      {} rules in {} files, {}", manifest.rules().len(), manifest.files().len(), manifest.digest());
    let owner = PrincipalId::Identity(scenario.policy_owner.clone());
    place.broker.publish(Arc::clone(&policy), owner).await?;
    let (database, anchor) = (shown(workspace, &folder.database()), shown(workspace, &folder.anchor()));
    println!("Log         {} in {database}, anchored in {anchor},", place.log.origin());
    match place.continued_at {
        0 => println!("            created now; its keys lie beside it, which only a demonstration does"),
        size => println!("            continued at {size} records, which are those that the anchor vouches for"),
    }
    println!("Requests    {}, each run to its end with a clock that is moved by hand\n", scenario.requests.len());

    let run = Run { broker: &place.broker, clock: &clock, issuer: &place.issuer_name };
    let accounts = run.live(&scenario.requests).await?;
    tell(&place, &scenario, &accounts).await?;

    let mut bundles = Vec::new();
    for (planned, account) in scenario.requests.iter().zip(&accounts) {
        bundles.push(folder.write_bundle(&place.log, planned, account, &scenario.auditor).await?);
    }
    let tiles = folder.write_tiles(&place.log).await?;
    folder.write_keys(&place.log, &place.issuer, clock.now().at)?;
    println!("Evidence    {} bundles and the whole log in {}", bundles.len(), shown(workspace, folder.root()));
    println!("            written {} ms after the start\n", began.elapsed().as_millis());

    let tampered =
        scenario.requests.iter().zip(&bundles).find(|(planned, _)| planned.request.justification().is_some());
    let (planned, bundle) = tampered.ok_or("no request gives a reason")?;
    let tampered = folder.write_tampered(bundle, planned)?;
    audit(workspace, &folder, &bundles, &tiles, &tampered)
}

/// Tells what became of every request; an error if one did not end as planned.
async fn tell(place: &Deployment, scenario: &Scenario, accounts: &[Account]) -> Result<(), Box<dyn Error>> {
    for (planned, account) in scenario.requests.iter().zip(accounts) {
        let case = place.broker.case(account.case).await?;
        let records = place.log.stream(&case.stream()).await?;
        println!("{}: {}", planned.name, planned.about);
        for line in account.lines.iter().chain(&ending(&case, &records)) {
            println!("  {line}");
        }
        println!();
        if let Some(surprise) = surprise(planned, &case) {
            return Err(surprise.into());
        }
    }
    for (planned, account) in scenario.requests.iter().zip(accounts) {
        if let Some([header, claims]) = &account.shown {
            println!(
                "The token of {} (its signature is not shown), bound to grant, decision and evidence:",
                planned.name
            );
            println!("{header}.{claims}\n");
        }
    }
    Ok(())
}

/// Has everything checked by the program that knows nothing but files and a public key.
fn audit(
    workspace: &Path,
    folder: &Folder,
    bundles: &[PathBuf],
    tiles: &Path,
    tampered: &Path,
) -> Result<(), Box<dyn Error>> {
    println!("Building the program jit-audit …");
    let auditor = Auditor::build(workspace, folder.path("trust.policy"))?;
    let began = Instant::now();
    for bundle in bundles {
        auditor.prove("verify", bundle)?;
        let decisions = auditor.replay(bundle)?;
        println!("Proved      {}, decisions made again: {decisions}, Identical", shown(workspace, bundle));
    }
    auditor.prove("verify-log", tiles)?;
    println!("Proved      {}, the whole log", shown(workspace, tiles));
    let answer = auditor.disprove(tampered)?;
    println!(
        "Disproved   {}, one bit changed, exit status {}",
        shown(workspace, tampered),
        answer.status.unwrap_or(-1)
    );
    println!("            {}", answer.line(1));
    println!("            all this took jit-audit {} ms\n", began.elapsed().as_millis());

    let (program, trust) = (shown(workspace, auditor.program()), shown(workspace, &folder.path("trust.policy")));
    let first = shown(workspace, bundles.first().map_or(tampered, PathBuf::as_path));
    let changed = shown(workspace, tampered);
    println!("Try next");
    println!("  {program} show {first} --policy {trust}");
    println!("  {program} verify {first} --policy {trust}");
    println!("  {program} replay {first} --policy {trust}");
    println!("  {program} verify {changed} --policy {trust}; echo $?");
    println!("  change a rule in examples/quickstart/input/policy, or a request, and run this again");
    Ok(())
}

/// The bytes of a file; an error says which.
fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// A path as seen from the workspace.
fn shown(workspace: &Path, path: &Path) -> String {
    path.strip_prefix(workspace).unwrap_or(path).display().to_string()
}

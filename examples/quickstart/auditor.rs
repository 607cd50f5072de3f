//! The auditor: the `jit-audit` program, built once and run as a process of its own on files alone.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// The program could not be built or run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditorError {
    #[error("cargo could not be run: {0}")]
    Cargo(io::Error),
    #[error("cargo did not build jit-audit")]
    NotBuilt,
    #[error("jit-audit could not be run: {0}")]
    Run(io::Error),
    #[error("`jit-audit {command}` did not answer {wanted} about {path}, but:\n{text}")]
    Answer { command: String, path: String, wanted: &'static str, text: String },
}

/// The program, and the keys that it is told to trust.
#[derive(Debug)]
pub(crate) struct Auditor {
    program: PathBuf,
    trust: PathBuf,
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its exit status; `None` if it was killed.
    pub(crate) status: Option<i32>,
    text: String,
}

impl Answer {
    /// A line of what it printed.
    pub(crate) fn line(&self, n: usize) -> &str {
        self.text.lines().nth(n).unwrap_or_default()
    }

    fn unwanted(self, command: &str, path: &Path, wanted: &'static str) -> AuditorError {
        AuditorError::Answer { command: command.to_owned(), path: path.display().to_string(), wanted, text: self.text }
    }
}

impl Auditor {
    /// Has cargo build the program, with the profile of this example.
    ///
    /// The example is named beside the program so that cargo resolves the same features for both, and finds nearly everything
    /// built: with `-p jit-audit` alone it would build the policy engine again.
    pub(crate) fn build(workspace: &Path, trust: PathBuf) -> Result<Self, AuditorError> {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--bin", "jit-audit", "--example", "quickstart"])
            .args(["--message-format", "json-render-diagnostics", "--profile", &profile()])
            .current_dir(workspace)
            .stderr(Stdio::inherit())
            .output()
            .map_err(AuditorError::Cargo)?;
        let program = built.stdout.split(|byte| *byte == b'\n').find_map(executable);
        match program {
            Some(program) if built.status.success() => Ok(Self { program, trust }),
            _ => Err(AuditorError::NotBuilt),
        }
    }

    /// Where the program is.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Has a file or a log verified, which must be proved.
    pub(crate) fn prove(&self, command: &str, path: &Path) -> Result<Answer, AuditorError> {
        let answer = self.ask(command, path)?;
        if answer.status == Some(0) && answer.line(0) == "Proved" {
            return Ok(answer);
        }
        Err(answer.unwanted(command, path, "Proved"))
    }

    /// Has the decisions of a bundle made again, each of which must come out the same; says how many there are.
    pub(crate) fn replay(&self, path: &Path) -> Result<usize, AuditorError> {
        let answer = self.ask("replay", path)?;
        let decisions = answer.text.lines().count();
        let same = answer.text.lines().filter(|line| line.contains("Identical")).count();
        if answer.status == Some(0) && decisions > 0 && same == decisions {
            return Ok(decisions);
        }
        Err(answer.unwanted("replay", path, "Identical"))
    }

    /// Has a bundle verified that was tampered with, which must be disproved, naming the record.
    pub(crate) fn disprove(&self, path: &Path) -> Result<Answer, AuditorError> {
        let answer = self.ask("verify", path)?;
        if answer.status == Some(1) && answer.line(0) == "Disproved" && answer.line(1).starts_with("record ") {
            return Ok(answer);
        }
        Err(answer.unwanted("verify", path, "Disproved and a record"))
    }

    /// Runs `jit-audit COMMAND PATH --policy TRUST`.
    fn ask(&self, command: &str, path: &Path) -> Result<Answer, AuditorError> {
        let arguments = [OsStr::new(command), path.as_os_str(), OsStr::new("--policy"), self.trust.as_os_str()];
        let output = Command::new(&self.program).args(arguments).output().map_err(AuditorError::Run)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Answer { status: output.status.code(), text })
    }
}

/// The profile this example was built with: examples lie in `target/<profile>/examples`.
fn profile() -> String {
    let name = |exe: PathBuf| Some(exe.parent()?.parent()?.file_name()?.to_str()?.to_owned());
    match env::current_exe().ok().and_then(name) {
        Some(folder) if folder != "debug" => folder,
        _ => "dev".to_owned(),
    }
}

/// The path of the program, if this line of cargo's says that it was built.
fn executable(line: &[u8]) -> Option<PathBuf> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let is_program = message.pointer("/target/name")?.as_str()? == "jit-audit";
    let path = message.get("executable")?.as_str()?;
    is_program.then(|| PathBuf::from(path))
}

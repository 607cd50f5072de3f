//! Another policy over the decisions of a log and of its export.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use jit_audit::{Decisions, backtest_export, backtest_log};
use jit_core::{Action, Code, Engine, Outcome};
use jit_log::TileSource;
use jit_policy::*;
use jit_store::ExportPayloads;
use support::{Plan, World, engine};

/// The table of the other tests, which a candidate answers otherwise for readers.
struct Strict(SnapshotDocument, Engine);

impl PolicySnapshot for Strict {
    fn document(&self) -> &SnapshotDocument {
        &self.0
    }

    fn engine(&self) -> &Engine {
        &self.1
    }

    fn evaluate(&self, input: &CanonicalInput) -> RawEvaluation {
        if input.parts().actions.contains(&Action::new("read").unwrap()) {
            return RawEvaluation::failed(Code::new("not_today").unwrap());
        }
        RawEvaluation::default()
    }
}

fn candidate() -> Backtest {
    Backtest::new(Evaluator::new(Arc::new(Strict(support::snapshot("strict"), engine()))))
}

#[derive(Clone)]
struct Folder(PathBuf);

impl TileSource for Folder {
    type Error = io::Error;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, io::Error> {
        match fs::read(self.0.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }
}

#[tokio::test]
async fn a_log_and_its_export_give_the_same_report() {
    let world = World::new().await;
    for i in 0..40 {
        world.run(&format!("case {i}"), if i % 4 == 0 { Plan::Denied } else { Plan::Active }).await;
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let report = backtest_log(&world.log, 0..u64::MAX, candidate(), move |done| tell.lock().unwrap().push(done)).await;
    let report = report.unwrap();
    // Whoever is denied was asked once, the others at issuance again.
    assert_eq!((report.decisions, report.changed(), report.unchanged), (70, 70, 0));
    assert_eq!(told.lock().unwrap().last(), Some(&70));
    let outcomes: Vec<(u64, Option<(Outcome, Outcome)>)> =
        report.changes.iter().map(|c| (c.count, c.outcome())).collect();
    assert_eq!(outcomes, [(60, Some((Outcome::Permit, Outcome::Indeterminate))), (10, None)]);

    let folder = tempfile::tempdir().unwrap();
    let tiles = folder.path().join("tiles");
    world.log.export(&tiles, ExportPayloads::Include).await.unwrap();
    let (tiles, trust) = (Folder(tiles), world.trust.clone());
    let export = |range| {
        let run = backtest_export(&mut tiles.clone(), &mut tiles.clone(), &trust, &range, &candidate(), |_| {});
        run.map(|(_, report)| report)
    };
    assert_eq!(export(0..u64::MAX).unwrap(), report);

    let size = world.log.size().await.unwrap();
    assert!(size > 256, "more than one bundle of entries");
    let half = backtest_log(&world.log, 0..size / 2, candidate(), |_| {}).await.unwrap();
    let rest = backtest_log(&world.log, size / 2..size, candidate(), |_| {}).await.unwrap();
    assert_eq!(half.decisions + rest.decisions, 70);
    assert!(half.decisions > 20 && rest.changes[0].examples[0] >= size / 2);
    assert_eq!(export(size / 2..size).unwrap(), rest);

    let none = Decisions::new(&world.log, 0..u64::MAX).of_policy(candidate_digest()).next_page().await.unwrap();
    assert!(none.unwrap().is_empty());
    fs::write(tiles.0.join("tile/entries/000"), b"nonsense").unwrap();
    assert!(export(0..u64::MAX).is_err(), "what does not verify gives no report");
}

fn candidate_digest() -> jit_core::PolicyDigest {
    support::snapshot("strict").digest()
}

//! The evidence that a run leaves behind, in files that prove themselves to whoever trusts one public key.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use jit_audit::BundleBuilder;
use jit_core::{Identity, PrincipalId, Timestamp};
use jit_issuer::jwt::JwtIssuer;
use jit_store::{ExportPayloads, Log};

use crate::{account::Account, requests::PlannedRequest};

/// Where the evidence lies.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder with the log of earlier runs, if there were any; the bundles that they wrote are removed.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        for part in ["bundles", "tampered"] {
            match fs::remove_dir_all(root.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for part in ["bundles", "tiles", "tampered", "anchor", "keys"] {
            fs::create_dir_all(root.join(part))?;
        }
        Ok(Self { root })
    }

    /// Where the log is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path("evidence.db")
    }

    /// Where its last checkpoint is; in a real deployment on another machine.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.path("anchor").join("checkpoint")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes what everybody may have: the key of the log and the keys of the token issuer.
    pub(crate) fn write_keys(&self, log: &Log, issuer: &JwtIssuer, now: Timestamp) -> Result<(), Box<dyn Error>> {
        fs::write(self.path("trust.policy"), log.trust().to_text())?;
        fs::write(self.path("jwks.json"), serde_json::to_vec_pretty(&issuer.jwks(now))?)?;
        Ok(())
    }

    /// Writes the evidence about one case; that it was taken out is recorded.
    pub(crate) async fn write_bundle(
        &self,
        log: &Log,
        planned: &PlannedRequest,
        account: &Account,
        auditor: &Identity,
    ) -> Result<PathBuf, Box<dyn Error>> {
        let bundle = BundleBuilder::case(log, account.case, PrincipalId::Identity(auditor.clone()))
            .record_export(planned.request.retain().clone())
            .build()
            .await?;
        let path = self.root.join("bundles").join(format!("{}.json", planned.name));
        fs::write(&path, bundle.to_bytes()?)?;
        Ok(path)
    }

    /// Writes the whole log as files that any C2SP tlog-tiles reader can check.
    pub(crate) async fn write_tiles(&self, log: &Log) -> Result<PathBuf, Box<dyn Error>> {
        let path = self.path("tiles");
        log.export(&path, ExportPayloads::Include).await?;
        Ok(path)
    }

    /// Copies a bundle with one bit of the reason that was given for the access turned over.
    pub(crate) fn write_tampered(&self, bundle: &Path, planned: &PlannedRequest) -> Result<PathBuf, Box<dyn Error>> {
        let mut bytes = fs::read(bundle)?;
        let reason = planned.request.justification().map_or("", |reason| reason.as_str());
        // A word is the same in JSON as outside it.
        let word = reason.split(|c: char| !c.is_ascii_alphabetic()).find(|word| word.len() > 3).unwrap_or("nothing");
        let at = bytes.windows(word.len()).position(|window| window == word.as_bytes());
        let byte = at.and_then(|at| bytes.get_mut(at)).ok_or("the bundle does not hold the reason given")?;
        *byte ^= 1;
        let path = self.root.join("tampered").join(format!("{}.json", planned.name));
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

//! A policy as evidence: the manifest whose digest every decision cites, and the document that carries its texts (INV-11).

use std::collections::BTreeSet;

use data_encoding::BASE64;
use jit_core::{
    Code, FileDigest, PolicyDigest, RuleId, Version,
    canonical::{self, CanonicalError},
};
use serde::{Deserialize, Serialize};

use crate::bundle::{BundleError, FilePath, MAX_BUNDLE_BYTES, MAX_FILES, PolicyBundle, Target};

/// BLAKE3 `derive_key` context of a policy digest (evidence format, section 5).
pub const POLICY_CONTEXT: &str = "jit-evidence/1 policy";
/// BLAKE3 `derive_key` context of the digest of one file's raw bytes inside a manifest.
pub const FILE_CONTEXT: &str = "jit-evidence/1 policy file";
/// The largest snapshot document, in bytes: all files in base64, and their manifest.
pub const MAX_DOCUMENT_BYTES: usize = 2 * MAX_BUNDLE_BYTES;

/// One file of a snapshot, named by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where it is.
    pub path: FilePath,
    /// `derive_key(`[`FILE_CONTEXT`]`, bytes)`.
    pub digest: FileDigest,
    /// How many bytes it has.
    pub length: u32,
}

impl FileEntry {
    fn of(path: &FilePath, bytes: &[u8]) -> Self {
        Self {
            path: path.clone(),
            digest: FileDigest::from_bytes(blake3::derive_key(FILE_CONTEXT, bytes)),
            // A file is bounded far below four gigabytes.
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// One rule of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    /// Its id.
    pub id: RuleId,
}

/// What a snapshot is, exactly: two snapshots with the same manifest are the same policy.
///
/// The versions of engine and adapter are not part of it; they belong to each decision, so that a patch of the engine
/// voids no approval (evidence format, section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ManifestParts", into = "ManifestParts")]
pub struct SnapshotManifest {
    parts: ManifestParts,
    digest: PolicyDigest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestParts {
    engine: Code,
    language: Version,
    entrypoint: Code,
    schema: Option<FilePath>,
    files: Vec<FileEntry>,
    rules: Vec<RuleEntry>,
}

impl SnapshotManifest {
    /// The manifest of a bundle in which the engine found these rules.
    ///
    /// # Errors
    /// [`BundleError::Canonical`] if it has no canonical form.
    pub fn new(bundle: &PolicyBundle, rules: &BTreeSet<RuleId>) -> Result<Self, BundleError> {
        let target = bundle.target();
        ManifestParts {
            engine: target.engine.clone(),
            language: target.language.clone(),
            entrypoint: target.entrypoint.clone(),
            schema: bundle.schema().cloned(),
            files: bundle.files().map(|(path, bytes)| FileEntry::of(path, bytes)).collect(),
            rules: rules.iter().cloned().map(|id| RuleEntry { id }).collect(),
        }
        .try_into()
    }

    /// `derive_key(`[`POLICY_CONTEXT`]`, canonical(manifest))`: what a decision cites.
    #[must_use]
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// The engine it is written for.
    #[must_use]
    pub fn engine(&self) -> &Code {
        &self.parts.engine
    }

    /// The version of its language.
    #[must_use]
    pub fn language(&self) -> &Version {
        &self.parts.language
    }

    /// What is asked of it.
    #[must_use]
    pub fn entrypoint(&self) -> &Code {
        &self.parts.entrypoint
    }

    /// The file that declares types, if there is one.
    #[must_use]
    pub fn schema(&self) -> Option<&FilePath> {
        self.parts.schema.as_ref()
    }

    /// Its files, ascending by the bytes of their paths.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.parts.files
    }

    /// Its rules, ascending by id.
    #[must_use]
    pub fn rules(&self) -> &[RuleEntry] {
        &self.parts.rules
    }

    /// Whether it has this rule.
    #[must_use]
    pub fn has_rule(&self, rule: &RuleId) -> bool {
        self.parts.rules.binary_search_by(|entry| entry.id.cmp(rule)).is_ok()
    }
}

impl TryFrom<ManifestParts> for SnapshotManifest {
    type Error = BundleError;
    fn try_from(parts: ManifestParts) -> Result<Self, BundleError> {
        if parts.files.len() > MAX_FILES {
            return Err(BundleError::TooManyFiles { max: MAX_FILES });
        }
        let files_ascend = parts.files.is_sorted_by(|a, b| a.path < b.path);
        let rules_ascend = parts.rules.is_sorted_by(|a, b| a.id < b.id);
        if !files_ascend || !rules_ascend {
            return Err(BundleError::Order);
        }
        let bytes = canonical::to_bytes(&parts)?;
        let digest = PolicyDigest::from_bytes(blake3::derive_key(POLICY_CONTEXT, &bytes));
        Ok(Self { parts, digest })
    }
}

impl From<SnapshotManifest> for ManifestParts {
    fn from(manifest: SnapshotManifest) -> Self {
        manifest.parts
    }
}

/// A snapshot with its texts, `{"files":[{"base64":…,"path":…}],"manifest":…}`: what a store keeps and an evidence bundle
/// carries under `policies`. Every file has been held against its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DocumentParts", into = "DocumentParts")]
pub struct SnapshotDocument {
    manifest: SnapshotManifest,
    bundle: PolicyBundle,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentParts {
    manifest: SnapshotManifest,
    files: Vec<CarriedFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CarriedFile {
    path: FilePath,
    base64: String,
}

impl SnapshotDocument {
    /// The document of a bundle in which the engine found these rules.
    ///
    /// # Errors
    /// As [`SnapshotManifest::new`].
    pub fn new(bundle: PolicyBundle, rules: &BTreeSet<RuleId>) -> Result<Self, BundleError> {
        Ok(Self { manifest: SnapshotManifest::new(&bundle, rules)?, bundle })
    }

    /// Reads the canonical bytes of a document and holds every file against the manifest.
    /// Whether it is the snapshot you asked for is [`SnapshotDocument::digest`]'s to say.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`], or [`BundleError::Canonical`] if the bytes are not those of a document whose files have the digests in its manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(BundleError::TooLarge { max: MAX_DOCUMENT_BYTES });
        }
        canonical::from_slice::<DocumentParts>(bytes)?.try_into()
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`] if there is no canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// The digest that decisions cite.
    #[must_use]
    pub fn digest(&self) -> PolicyDigest {
        self.manifest.digest()
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    /// The texts, as an engine loads them.
    #[must_use]
    pub fn bundle(&self) -> &PolicyBundle {
        &self.bundle
    }
}

impl TryFrom<DocumentParts> for SnapshotDocument {
    type Error = BundleError;
    fn try_from(parts: DocumentParts) -> Result<Self, BundleError> {
        let DocumentParts { manifest, files } = parts;
        if files.len() != manifest.files().len() {
            return Err(BundleError::FilesDiffer);
        }
        let mut decoded = Vec::with_capacity(files.len());
        for (carried, entry) in files.into_iter().zip(manifest.files()) {
            let CarriedFile { path, base64 } = carried;
            let bytes =
                BASE64.decode(base64.as_bytes()).map_err(|_| BundleError::FileDiffers { path: path.clone() })?;
            if path != entry.path {
                return Err(BundleError::FilesDiffer);
            }
            if FileEntry::of(&path, &bytes) != *entry {
                return Err(BundleError::FileDiffers { path });
            }
            decoded.push((path, bytes));
        }
        let target = Target {
            engine: manifest.engine().clone(),
            language: manifest.language().clone(),
            entrypoint: manifest.entrypoint().clone(),
        };
        let bundle = PolicyBundle::new(target, manifest.schema().cloned(), decoded)?;
        Ok(Self { manifest, bundle })
    }
}

impl From<SnapshotDocument> for DocumentParts {
    fn from(document: SnapshotDocument) -> Self {
        let files = document
            .bundle
            .files()
            .map(|(path, bytes)| CarriedFile { path: path.clone(), base64: BASE64.encode(bytes) })
            .collect();
        Self { manifest: document.manifest, files }
    }
}

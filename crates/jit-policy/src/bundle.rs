//! Policy texts on their way to an engine: a bounded set of named files, and what to do with them.

use std::{collections::BTreeMap, fmt};

use jit_core::{Code, Version, canonical::CanonicalError};
use serde::{Deserialize, Serialize};

/// The most files one bundle may have.
pub const MAX_FILES: usize = 512;
/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// All files of a bundle together, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 4 * 1024 * 1024;
/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 255;

/// A bundle, or the snapshot document made from one, does not construct.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A path is absolute, empty, too long, leaves its folder or has a character that is not allowed.
    #[error("not a relative path of plain segments")]
    Path,
    /// There is no file.
    #[error("bundle has no file")]
    Empty,
    /// Too many files.
    #[error("bundle has more than {max} files")]
    TooManyFiles {
        /// The limit.
        max: usize,
    },
    /// A file, or all of them together, or a document, is too large.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// The same path twice.
    #[error("file {path} appears twice")]
    Repeated {
        /// The path.
        path: FilePath,
    },
    /// The schema is not among the files.
    #[error("schema {path} is not among the files")]
    SchemaAbsent {
        /// The path named as schema.
        path: FilePath,
    },
    /// The manifest's files or rules do not ascend, or repeat.
    #[error("files or rules of the manifest are not in ascending order")]
    Order,
    /// The files carried are not those that the manifest lists.
    #[error("files are not those of the manifest")]
    FilesDiffer,
    /// A file is not the one that the manifest names.
    #[error("file {path} does not have the digest and length in the manifest")]
    FileDiffers {
        /// The path.
        path: FilePath,
    },
    /// The bytes are not the canonical form of a document.
    #[error("not a snapshot document: {0}")]
    Canonical(#[from] CanonicalError),
}

/// A relative path inside a bundle: segments joined by `/`, none of them empty, `.` or `..`.
///
/// ```
/// use jit_policy::FilePath;
/// assert!(FilePath::new("database/oncall.cedar").is_ok());
/// assert!(FilePath::new("../oncall.cedar").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// Checks and wraps a path.
    ///
    /// # Errors
    /// [`BundleError::Path`].
    pub fn new(path: impl Into<String>) -> Result<Self, BundleError> {
        let path = path.into();
        let plain = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && !segment.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
        };
        if path.len() <= MAX_PATH_BYTES && path.split('/').all(plain) { Ok(Self(path)) } else { Err(BundleError::Path) }
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FilePath {
    type Error = BundleError;
    fn try_from(path: String) -> Result<Self, BundleError> {
        Self::new(path)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> String {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a bundle is written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The engine that is to evaluate it, `cedar` for example.
    pub engine: Code,
    /// The version of the policy language it is written in.
    pub language: Version,
    /// What is asked of it, in the engine's terms.
    pub entrypoint: Code,
}

/// Policy texts as handed to an engine.
///
/// ```
/// use jit_core::{Code, Version};
/// use jit_policy::{FilePath, PolicyBundle, Target};
/// let target = Target { engine: Code::new("cedar")?, language: Version::new("4.6")?, entrypoint: Code::new("is_authorized")? };
/// let schema = FilePath::new("jit.cedarschema")?;
/// let files = [(schema.clone(), b"entity User;".to_vec()), (FilePath::new("a.cedar")?, Vec::new())];
/// let bundle = PolicyBundle::new(target, Some(schema), files)?;
/// assert_eq!(bundle.files().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyBundle {
    target: Target,
    schema: Option<FilePath>,
    files: BTreeMap<FilePath, Vec<u8>>,
}

impl PolicyBundle {
    /// A bundle of these files, in any order. `schema`, if given, is the path of one of them.
    ///
    /// # Errors
    /// [`BundleError`] if there is no file, one appears twice, the schema is not among them or a limit is passed.
    pub fn new(
        target: Target,
        schema: Option<FilePath>,
        files: impl IntoIterator<Item = (FilePath, Vec<u8>)>,
    ) -> Result<Self, BundleError> {
        let mut held = BTreeMap::new();
        let mut total = 0usize;
        for (path, bytes) in files {
            total = total.saturating_add(bytes.len());
            if bytes.len() > MAX_FILE_BYTES {
                return Err(BundleError::TooLarge { max: MAX_FILE_BYTES });
            }
            if total > MAX_BUNDLE_BYTES {
                return Err(BundleError::TooLarge { max: MAX_BUNDLE_BYTES });
            }
            if held.len() >= MAX_FILES {
                return Err(BundleError::TooManyFiles { max: MAX_FILES });
            }
            if held.insert(path.clone(), bytes).is_some() {
                return Err(BundleError::Repeated { path });
            }
        }
        if held.is_empty() {
            return Err(BundleError::Empty);
        }
        if let Some(path) = schema.as_ref().filter(|path| !held.contains_key(*path)) {
            return Err(BundleError::SchemaAbsent { path: path.clone() });
        }
        Ok(Self { target, schema, files: held })
    }

    /// What it is written for.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The file that declares types, if there is one.
    #[must_use]
    pub fn schema(&self) -> Option<&FilePath> {
        self.schema.as_ref()
    }

    /// The bytes of one file.
    #[must_use]
    pub fn file(&self, path: &FilePath) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// All files, ascending by the bytes of their paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&FilePath, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path, bytes.as_slice()))
    }
}

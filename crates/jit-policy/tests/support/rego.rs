//! Bundles in Rego, and the rules that the tests of Cedar have too.

use jit_core::{Code, Version};
use jit_policy::{
    FilePath, PolicyBundle, PolicyEngine, Target,
    rego::{BASE_POLICY, ENTRYPOINT, LANGUAGE, RegoEngine},
};

pub fn target() -> Target {
    let engine = RegoEngine::new().unwrap().descriptor().name.clone();
    Target { engine, language: Version::new(LANGUAGE).unwrap(), entrypoint: Code::new(ENTRYPOINT).unwrap() }
}

pub fn bundle_of(files: &[(&str, &str)]) -> PolicyBundle {
    let files = files.iter().map(|(path, text)| (FilePath::new(*path).unwrap(), text.as_bytes().to_vec()));
    PolicyBundle::new(target(), None, files).unwrap()
}

/// Rules beside the base policy.
pub fn bundle_with(rules: &str) -> PolicyBundle {
    bundle_of(&[("base.rego", BASE_POLICY), ("rules.rego", &format!("package jit\n{rules}"))])
}

pub const READ: &str = r#"
# METADATA
# labels:
#   id: read
permit contains {"id": "read", "obligations": [approvals({"sre": 1}), max_duration(14400)]} if {
	input.action == "read"
	"oncall" in input.subject.within.group
	"db:prod" in input.resource.within.resource
}
"#;
pub const WRITE: &str = r#"
# METADATA
# labels:
#   id: write
permit contains {"id": "write", "obligations": [approvals({"sre": 2, "dba": 1}), max_duration(3600)]} if {
	input.action == "write"
	"oncall" in input.subject.within.group
	"db:prod" in input.resource.within.resource
}
"#;
pub const NEVER: &str = r#"
# METADATA
# labels:
#   id: never
forbid contains {"id": "never"} if "db:prod/payroll" in input.resource.within.resource
"#;

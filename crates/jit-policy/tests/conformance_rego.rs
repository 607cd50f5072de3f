//! The Rego adapter does what every policy engine must do.
#![cfg(feature = "rego")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests may panic")]

use std::sync::Arc;

use jit_core::{Code, Version};
use jit_policy::{
    FilePath, PolicyBundle, PolicyEngine, Target,
    rego::{BASE_POLICY, ENTRYPOINT, LANGUAGE, RegoEngine},
};
use jit_testkit::conformance::policy::{PolicyFactory, Sample};

struct InRego;

const READ: &str = r#"
# METADATA
# labels:
#   id: read
permit contains {"id": "read", "obligations": [approvals({"sre": 1}), max_duration(14400)]} if {
	input.action == "read"
	"oncall" in input.subject.within.group
	"db:prod" in input.resource.within.resource
}
"#;

const OTHERS: &str = r#"
# METADATA
# labels:
#   id: write
permit contains {"id": "write", "obligations": [approvals({"sre": 2, "dba": 1}), max_duration(3600)]} if {
	input.action == "write"
	"oncall" in input.subject.within.group
	"db:prod" in input.resource.within.resource
}

# METADATA
# labels:
#   id: never
forbid contains {"id": "never"} if "db:prod/payroll" in input.resource.within.resource

# METADATA
# labels:
#   id: early
permit contains {"id": "early", "obligations": []} if {
	input.action == "admin"
	input.context.now < 1893456000
}
"#;

const BROKEN: &str = r#"
# METADATA
# labels:
#   id: broken
forbid contains {"id": "broken"} if to_number(input.action) > 0
"#;

impl PolicyFactory for InRego {
    fn engine(&self) -> Arc<dyn PolicyEngine> {
        Arc::new(RegoEngine::new().unwrap())
    }

    fn bundle(&self, sample: Sample) -> PolicyBundle {
        let rules = match sample {
            Sample::Access => format!("{READ}{OTHERS}"),
            Sample::Stricter => format!("{}{OTHERS}", READ.replace("\"sre\"", "\"ops\"").replace("14400", "60")),
            Sample::Failing => format!("{READ}{BROKEN}"),
            Sample::UnknownObligation => {
                READ.replace("max_duration(14400)", r#"{"type": "dance", "properties": "tango"}"#)
            }
            Sample::RepeatedId => format!("{READ}{READ}"),
            Sample::NoRule => String::new(),
            Sample::Unreadable => "permit contains {".to_owned(),
            other => panic!("{other:?} is new"),
        };
        let target = Target {
            engine: RegoEngine::new().unwrap().descriptor().name.clone(),
            language: Version::new(LANGUAGE).unwrap(),
            entrypoint: Code::new(ENTRYPOINT).unwrap(),
        };
        let files = [("base.rego", BASE_POLICY.to_owned()), ("rules.rego", format!("package jit\n{rules}"))];
        let files = files.map(|(path, text)| (FilePath::new(path).unwrap(), text.into_bytes()));
        PolicyBundle::new(target, None, files).unwrap()
    }
}

jit_testkit::policy_conformance!(InRego);

//! The Rego adapter does what every policy engine must do.
#![cfg(feature = "rego")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod support;

use std::sync::Arc;

use jit_policy::{PolicyBundle, PolicyEngine, rego::RegoEngine};
use jit_testkit::conformance::policy::{PolicyFactory, Sample};
use support::rego::{NEVER, READ, WRITE, bundle_with};

struct InRego;

const EARLY: &str = r#"
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
            Sample::Access => format!("{READ}{WRITE}{NEVER}{EARLY}"),
            Sample::Stricter => {
                let read = READ.replace("\"sre\"", "\"ops\"").replace("14400", "60");
                format!("{read}{WRITE}{NEVER}{EARLY}")
            }
            Sample::Failing => format!("{READ}{BROKEN}"),
            Sample::UnknownObligation => {
                READ.replace("max_duration(14400)", r#"{"type": "dance", "properties": "tango"}"#)
            }
            Sample::RepeatedId => format!("{READ}{READ}"),
            Sample::NoRule => String::new(),
            Sample::Unreadable => "permit contains {".to_owned(),
            other => panic!("{other:?} is new"),
        };
        bundle_with(&rules)
    }
}

jit_testkit::policy_conformance!(InRego);

//! The Cedar adapter does what every policy engine must do.
#![cfg(feature = "cedar")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests may panic")]

use std::sync::Arc;

use jit_core::code;
use jit_policy::{
    FilePath, PolicyBundle, PolicyEngine, Target,
    cedar::{BASE_SCHEMA, CedarEngine, ENTRYPOINT},
};
use jit_testkit::conformance::policy::{PolicyFactory, Sample};

struct InCedar;

const READ: &str = r#"@id("read") @jit_approvals("sre:1") @jit_max_duration("4h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"read", resource in Jit::Resource::"db:prod");
"#;

const OTHERS: &str = r#"
@id("write") @jit_approvals("sre:2,dba:1") @jit_max_duration("1h")
permit(principal in Jit::Group::"oncall", action == Jit::Action::"write", resource in Jit::Resource::"db:prod");
@id("never") forbid(principal, action, resource in Jit::Resource::"db:prod/payroll");
@id("early") permit(principal, action == Jit::Action::"admin", resource) when { context.now < 1893456000 };
"#;

impl PolicyFactory for InCedar {
    fn engine(&self) -> Arc<dyn PolicyEngine> {
        Arc::new(CedarEngine::new().unwrap())
    }

    fn bundle(&self, sample: Sample) -> PolicyBundle {
        let rules = match sample {
            Sample::Access => format!("{READ}{OTHERS}"),
            Sample::Stricter => format!("{}{OTHERS}", READ.replace("sre:1", "ops:1").replace("4h", "1m")),
            Sample::Failing => format!(
                "{READ}@id(\"broken\") forbid(principal, action, resource) when {{ context.now + 9223372036854775807 > 0 }};"
            ),
            Sample::UnknownObligation => READ.replace("@jit_approvals", "@jit_dance(\"tango\") @jit_approvals"),
            Sample::RepeatedId => format!("{READ}{READ}"),
            Sample::NoRule => String::new(),
            Sample::Unreadable => "permit(principal, action".to_owned(),
            other => panic!("{other:?} is new"),
        };
        let language = CedarEngine::new().unwrap().descriptor().language.clone();
        let target = Target { engine: code!("cedar"), language, entrypoint: ENTRYPOINT };
        let schema = FilePath::new("jit.cedarschema").unwrap();
        let files = [
            (schema.clone(), BASE_SCHEMA.as_bytes().to_vec()),
            (FilePath::new("rules.cedar").unwrap(), rules.into_bytes()),
        ];
        PolicyBundle::new(target, Some(schema), files).unwrap()
    }
}

jit_testkit::policy_conformance!(InCedar);

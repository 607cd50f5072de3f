//! Loading a bundle: every file read, every construct looked at, every rule named, before anything is evaluated.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use jit_core::{
    PolicyPath, RuleId,
    canonical::{Object, Value as Canonical},
};
use regorus::{Engine, PolicyLengthConfig, Source, Value};

use super::{MAX_POLICY_BYTES, MAX_RULES, document, fence, fence::RuleFound, metadata, nesting, steps};
use crate::{
    bundle::{FilePath, PolicyBundle},
    engine::LoadError,
};

/// What all rules together may nest: each can be at work at once.
const MAX_TOTAL_DEPTH: usize = 16 * 1024;
/// What a rule takes besides its expressions, in levels of nesting.
const RULE_DEPTH: usize = 4;
/// The stack that one level of nesting takes, in bytes, in a build without optimisation.
const LEVEL_STACK: usize = 16 * 1024;
/// The stack on which every policy is evaluated besides, in bytes.
const BASE_STACK: usize = 2 << 20;

/// Functions that answer differently each time. They are not among those that a policy may call; this is the second fence.
const FORBIDDEN: [(&str, u8); 5] =
    [("http.send", 1), ("opa.runtime", 0), ("rand.intn", 2), ("time.now_ns", 0), ("uuid.rfc4122", 1)];

/// What a bundle became.
pub(super) struct Loaded {
    /// Ready to be cloned for each evaluation.
    pub(super) engine: Engine,
    /// The rules that have names.
    pub(super) rules: BTreeMap<RuleId, Span>,
    /// The stack that an evaluation may take, in bytes.
    pub(super) stack: usize,
}

/// Where a rule stands.
pub(super) struct Span {
    pub(super) file: PolicyPath,
    pub(super) first: u32,
    /// The last line before the next rule.
    pub(super) last: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("a function that answers differently each time")]
struct Forbidden;

pub(super) fn load(bundle: &PolicyBundle) -> Result<Loaded, LoadError> {
    if bundle.schema().is_some() {
        return Err(LoadError::Schema { reason: "a Rego bundle has none".to_owned() });
    }
    let mut engine = fenced()?;
    let mut policies = Vec::new();
    let mut bytes = 0usize;
    for (path, content) in bundle.files() {
        if path.as_str() == "data.json" || path.as_str().ends_with("/data.json") {
            add_data(&mut engine, path, content)?;
        } else if path.as_str().ends_with(".rego") {
            bytes = bytes.saturating_add(content.len());
            if bytes > MAX_POLICY_BYTES {
                return Err(LoadError::TooMuch { what: "bytes of policies", max: MAX_POLICY_BYTES });
            }
            policies.push((path, add_policy(&mut engine, path, content)?));
        } else {
            return Err(LoadError::Data { path: path.clone(), reason: "neither *.rego nor data.json".to_owned() });
        }
    }
    let modules: Vec<_> = engine.get_modules().clone();
    let functions: BTreeSet<String> = modules.iter().flat_map(|module| fence::functions(module)).collect();
    let mut found = Vec::new();
    for (module, (path, text)) in modules.iter().zip(&policies) {
        let construct = |refusal: fence::Refusal| LoadError::Construct {
            path: (*path).clone(),
            line: refusal.line,
            reason: refusal.reason,
        };
        let package = fence::path_of(&module.package.refr).unwrap_or_default();
        if defined(&engine.get_data(), &package) {
            let reason = format!("package {package} is also data");
            return Err(LoadError::Construct { path: (*path).clone(), line: module.package.span.line, reason });
        }
        let rules = fence::rules(module, &functions).map_err(construct)?;
        found.push(Policy { path, text, package, imports: fence::imports(module).collect(), rules });
    }
    bound(&found)?;
    let all = || found.iter().flat_map(|policy| &policy.rules);
    let depth = all().map(|rule| rule.depth.saturating_add(RULE_DEPTH)).fold(0, usize::saturating_add);
    if all().count() > MAX_RULES {
        return Err(LoadError::TooMuch { what: "rules", max: MAX_RULES });
    }
    if depth > MAX_TOTAL_DEPTH {
        return Err(LoadError::TooMuch { what: "levels of nesting in all rules", max: MAX_TOTAL_DEPTH });
    }
    if let Some((name, line)) = fence::recursion(all()) {
        let path = found.iter().find(|policy| policy.rules.iter().any(|r| r.name == name)).map(|policy| policy.path);
        let path = path.cloned().ok_or(LoadError::NoRule)?;
        return Err(LoadError::Construct { path, line, reason: format!("function {name} leads back to itself") });
    }
    let decides = |policy: &Policy<'_>| policy.package == "jit" && policy.rules.iter().any(|r| r.name == "decision");
    if !found.iter().any(decides) {
        return Err(LoadError::Entrypoint { want: super::ENTRYPOINT.to_owned() });
    }
    let rules = named(&found)?;
    // Finds what only shows when all files are together, unsafe variables for example.
    engine
        .compile_with_entrypoint(&super::ENTRYPOINT.into())
        .map_err(|error| LoadError::Validation { reason: plain(&error) })?;
    engine.set_enable_coverage(true);
    Ok(Loaded { engine, rules, stack: depth.saturating_mul(LEVEL_STACK).saturating_add(BASE_STACK) })
}

/// The stack on which a bundle is loaded: a parsed expression may be as deep as the text is long, until it is looked at.
pub(super) fn loading_stack(bundle: &PolicyBundle) -> usize {
    let text: usize = bundle.files().filter(|(path, _)| path.as_str().ends_with(".rego")).map(|(_, b)| b.len()).sum();
    text.min(MAX_POLICY_BYTES).saturating_mul(1024).saturating_add(BASE_STACK)
}

/// One file of policy.
struct Policy<'a> {
    path: &'a FilePath,
    text: &'a str,
    package: String,
    imports: BTreeSet<String>,
    rules: Vec<RuleFound>,
}

/// A misspelt name in the head of a rule would be undefined at evaluation, and the rule silently without effect.
fn bound(policies: &[Policy<'_>]) -> Result<(), LoadError> {
    let mut packages: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for policy in policies {
        let names = policy.rules.iter().map(|rule| rule.name.as_str());
        packages.entry(&policy.package).or_default().extend(names);
    }
    for policy in policies {
        let names = packages.get(policy.package.as_str());
        let known = |name: &str| {
            matches!(name, "input" | "data") || policy.imports.contains(name) || names.is_some_and(|n| n.contains(name))
        };
        for rule in &policy.rules {
            if let Some(name) = rule.unbound.iter().find(|name| !known(name)) {
                let (path, line) = (policy.path.clone(), rule.line);
                return Err(LoadError::Construct { path, line, reason: format!("variable {name} has no value") });
            }
        }
    }
    Ok(())
}

fn fenced() -> Result<Engine, LoadError> {
    let mut engine = Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(steps::limit());
    let bytes = NonZeroUsize::new(MAX_POLICY_BYTES).unwrap_or(NonZeroUsize::MIN);
    engine.set_policy_length_config(PolicyLengthConfig {
        max_file_bytes: bytes,
        max_lines: bytes,
        ..PolicyLengthConfig::default()
    });
    for (name, arguments) in FORBIDDEN {
        engine
            .add_extension(name.to_owned(), arguments, Box::new(|_: Vec<Value>| Err(Forbidden.into())))
            .map_err(|error| LoadError::Validation { reason: plain(&error) })?;
    }
    Ok(engine)
}

fn add_policy<'a>(engine: &mut Engine, path: &FilePath, content: &'a [u8]) -> Result<&'a str, LoadError> {
    let failed = |reason: String| LoadError::Parse { path: path.clone(), reason };
    let text = std::str::from_utf8(content).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    let source = Source::from_contents(path.to_string(), text.to_owned()).map_err(|error| failed(plain(&error)))?;
    if let Some(line) = nesting::too_deep(&source) {
        let reason = format!("brackets nest deeper than {}", nesting::MAX_NESTING);
        return Err(LoadError::Construct { path: path.clone(), line, reason });
    }
    engine.add_policy(path.to_string(), text.to_owned()).map_err(|error| failed(plain(&error)))?;
    Ok(text)
}

/// `a/b/data.json` is `data.a.b`, as in OPA's bundles.
fn add_data(engine: &mut Engine, path: &FilePath, content: &[u8]) -> Result<(), LoadError> {
    let failed = |reason: String| LoadError::Data { path: path.clone(), reason };
    let mut value = Canonical::parse(content).map_err(|error| failed(error.to_string()))?;
    if value.as_object().is_none() {
        return Err(failed("data is an object".to_owned()));
    }
    for folder in path.as_str().rsplit('/').skip(1) {
        let mut object = Object::new();
        object.insert(folder, value).map_err(|error| failed(error.to_string()))?;
        value = Canonical::Object(object);
    }
    engine.add_data(document::rego(&value)).map_err(|error| failed(plain(&error)))
}

/// Whether data stands where a package is: rules could be overlaid by it.
fn defined(data: &Value, package: &str) -> bool {
    let mut at = data;
    for part in package.split('.') {
        let Ok(object) = at.as_object() else { return true };
        match object.get(&Value::from(part)) {
            Some(below) => at = below,
            None => return false,
        }
    }
    true
}

/// The rules that have names, and where they end.
fn named(policies: &[Policy<'_>]) -> Result<BTreeMap<RuleId, Span>, LoadError> {
    let mut named = BTreeMap::new();
    for Policy { path, text, rules, .. } in policies {
        let file = PolicyPath::new(path.as_str())
            .map_err(|error| LoadError::Data { path: (*path).clone(), reason: error.to_string() })?;
        for found in metadata::named(text) {
            let refused = |reason: String| LoadError::RuleId { path: (*path).clone(), reason };
            let id = RuleId::new(found.id).map_err(|error| refused(error.to_string()))?;
            let rule = rules.iter().find(|rule| rule.line == found.rule_line);
            let rule = rule.ok_or_else(|| refused(format!("{id} does not stand directly above a rule")))?;
            if !rule.texts.contains(id.as_str()) {
                return Err(refused(format!("the rule in line {} does not say that it is {id}", rule.line)));
            }
            let next = rules.iter().map(|other| other.line).filter(|line| *line > rule.line).min();
            let last = next.map_or(u32::MAX, |line| line.saturating_sub(1));
            if named.insert(id.clone(), Span { file: file.clone(), first: rule.line, last }).is_some() {
                return Err(LoadError::RepeatedRuleId(id));
            }
        }
    }
    if named.is_empty() { Err(LoadError::NoRule) } else { Ok(named) }
}

/// The last line of a message, without the excerpt of the text.
fn plain(error: &impl ToString) -> String {
    error.to_string().lines().last().unwrap_or_default().to_owned()
}

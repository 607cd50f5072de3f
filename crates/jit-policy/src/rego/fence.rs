//! What a parsed policy may contain: functions that always answer the same, integers, and no recursion. regorus itself would
//! find out when the line is evaluated, or, for a function that calls itself, when the stack is used up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use regorus::unstable::{Expr, Literal, Module, Query, Rule, RuleHead};

/// Functions of Rego that depend on their arguments alone, cost about what their arguments and results are long, and are part of
/// every build of regorus.
const FUNCTIONS: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "format_int",
    "indexof",
    "indexof_n",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.is_valid",
    "json.marshal",
    "json.remove",
    "json.unmarshal",
    "lower",
    "max",
    "min",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "print",
    "product",
    "replace",
    "round",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.replace_n",
    "strings.reverse",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "upper",
    "walk",
];

/// How deep expressions may nest, operators included.
pub(super) const MAX_DEPTH: usize = 48;

/// A construct that is not accepted, and where.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) line: u32,
    pub(super) reason: String,
}

/// A rule of a module.
pub(super) struct RuleFound {
    /// Its first line, counted from 1.
    pub(super) line: u32,
    /// The last part of its name.
    pub(super) name: String,
    /// How deep its expressions nest.
    pub(super) depth: usize,
    /// The texts that stand in it.
    pub(super) texts: BTreeSet<String>,
    /// The variables in its head that nothing in the rule gives a value.
    pub(super) unbound: BTreeSet<String>,
    /// Whether it takes arguments.
    is_function: bool,
    /// The names that stand in it, except below `input`.
    mentions: BTreeSet<String>,
}

/// The rules of a module, in the order of the text. `functions` are the names of the functions of all modules.
pub(super) fn rules(module: &Module, functions: &BTreeSet<String>) -> Result<Vec<RuleFound>, Refusal> {
    module.policy.iter().map(|rule| Walk::new(functions).rule(rule)).collect()
}

/// The names of the functions that a module defines.
pub(super) fn functions(module: &Module) -> impl Iterator<Item = String> + '_ {
    module.policy.iter().filter_map(|rule| match &**rule {
        Rule::Spec { head: RuleHead::Func { refr, .. }, .. } => name_of(refr),
        Rule::Default { refr, args, .. } if !args.is_empty() => name_of(refr),
        _ => None,
    })
}

/// The names that a module's imports have in it.
pub(super) fn imports(module: &Module) -> impl Iterator<Item = String> + '_ {
    module.imports.iter().filter_map(|import| match &import.r#as {
        Some(alias) => Some(alias.text().to_owned()),
        None => name_of(&import.refr),
    })
}

/// The path of a package or a function, parts joined by dots.
pub(super) fn path_of(expr: &Expr) -> Option<String> {
    let mut parts = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::Var { span, .. } => {
                parts.push(span.text().to_owned());
                parts.reverse();
                return Some(parts.join("."));
            }
            Expr::RefDot { refr, field, .. } => {
                parts.push(field.0.text().to_owned());
                at = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                let Expr::String { value, .. } = &**index else { return None };
                parts.push(value.as_string().ok()?.to_string());
                at = refr;
            }
            _ => return None,
        }
    }
}

fn name_of(expr: &Expr) -> Option<String> {
    let path = path_of(expr)?;
    path.rsplit('.').next().map(str::to_owned)
}

/// The line of a function that can come back to itself. Names alone are compared, so a function may not mention a name that leads
/// back to its own, whatever is meant by it.
pub(super) fn recursion<'a>(rules: impl Iterator<Item = &'a RuleFound>) -> Option<(&'a str, u32)> {
    let mut mentions: BTreeMap<&str, (u32, BTreeSet<&str>)> = BTreeMap::new();
    for rule in rules.filter(|rule| rule.is_function) {
        let known = mentions.entry(&rule.name).or_insert_with(|| (rule.line, BTreeSet::new()));
        known.1.extend(rule.mentions.iter().map(String::as_str));
    }
    let mut callers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, (_, all)) in &mentions {
        let called = all.iter().filter(|called| mentions.contains_key(**called));
        open.insert(name, called.clone().count());
        for called in called {
            callers.entry(called).or_default().push(name);
        }
    }
    // Whatever calls nothing is done; whatever calls only what is done is done. The rest goes round.
    let mut done: VecDeque<&str> = open.iter().filter(|(_, calls)| **calls == 0).map(|(name, _)| *name).collect();
    while let Some(name) = done.pop_front() {
        open.remove(name);
        for caller in callers.remove(name).into_iter().flatten() {
            if let Some(calls) = open.get_mut(caller) {
                *calls = calls.saturating_sub(1);
                if *calls == 0 {
                    done.push_back(caller);
                }
            }
        }
    }
    let (name, _) = open.first_key_value()?;
    mentions.get_key_value(name).map(|(name, (line, _))| (*name, *line))
}

struct Walk<'a> {
    functions: &'a BTreeSet<String>,
    texts: BTreeSet<String>,
    mentions: BTreeSet<String>,
    /// The variables, wherever they stand.
    variables: BTreeSet<String>,
    deepest: usize,
}

impl<'a> Walk<'a> {
    fn new(functions: &'a BTreeSet<String>) -> Self {
        Self { functions, texts: BTreeSet::new(), mentions: BTreeSet::new(), variables: BTreeSet::new(), deepest: 0 }
    }

    fn rule(mut self, rule: &Rule) -> Result<RuleFound, Refusal> {
        let line = rule.span().line;
        let (mut head, mut args) = (Vec::new(), &[][..]);
        let (refr, is_function) = match rule {
            Rule::Spec { head: RuleHead::Compr { refr, assign, .. }, .. } => {
                head.extend(assign.as_ref().map(|assign| &*assign.value));
                (refr, false)
            }
            Rule::Spec { head: RuleHead::Set { refr, key, .. }, .. } => {
                head.extend(key.as_deref());
                (refr, false)
            }
            Rule::Spec { head: RuleHead::Func { refr, args: given, assign, .. }, .. } => {
                head.extend(assign.as_ref().map(|assign| &*assign.value));
                args = given;
                (refr, true)
            }
            Rule::Default { refr, args: given, value, .. } => {
                head.push(&**value);
                args = given;
                (refr, !given.is_empty())
            }
        };
        if let Rule::Spec { bodies, .. } = rule {
            for body in bodies {
                head.extend(body.assign.as_ref().map(|assign| &*assign.value));
                self.query(&body.query, 0)?;
            }
        }
        args.iter().try_for_each(|arg| self.expr(arg, 0))?;
        let given = std::mem::take(&mut self.variables);
        self.indexes(refr)?;
        let given: BTreeSet<String> = given.union(&std::mem::take(&mut self.variables)).cloned().collect();
        head.into_iter().try_for_each(|expr| self.expr(expr, 0))?;
        let unbound = self.variables.difference(&given).cloned().collect();
        let name = head_name(refr).ok_or_else(|| Refusal { line, reason: "the rule has no plain name".to_owned() })?;
        let Self { texts, mentions, deepest, .. } = self;
        Ok(RuleFound { line, name, depth: deepest, texts, unbound, is_function, mentions })
    }

    /// What stands between the brackets of a rule's name.
    fn indexes(&mut self, refr: &Expr) -> Result<(), Refusal> {
        let mut at = refr;
        loop {
            match at {
                Expr::RefDot { refr, .. } => at = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.expr(index, 0)?;
                    at = refr;
                }
                _ => return Ok(()),
            }
        }
    }

    fn query(&mut self, query: &Query, depth: usize) -> Result<(), Refusal> {
        for statement in &query.stmts {
            for with in &statement.with_mods {
                self.expr(&with.refr, depth + 1)?;
                self.expr(&with.r#as, depth + 1)?;
            }
            match &statement.literal {
                Literal::SomeVars { vars, .. } => {
                    self.variables.extend(vars.iter().map(|var| var.text().to_owned()));
                }
                Literal::SomeIn { key, value, collection, .. } => {
                    for expr in key.iter().chain([value, collection]) {
                        self.expr(expr, depth + 1)?;
                    }
                }
                Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr, depth + 1)?,
                Literal::Every { domain, query, .. } => {
                    self.expr(domain, depth + 1)?;
                    self.query(query, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr, depth: usize) -> Result<(), Refusal> {
        let refused = |reason: String| Refusal { line: expr.span().line, reason };
        self.deepest = self.deepest.max(depth);
        if depth > MAX_DEPTH {
            return Err(refused(format!("expressions nest deeper than {MAX_DEPTH}")));
        }
        let mut all = |exprs: &[&Expr]| exprs.iter().try_for_each(|one| self.expr(one, depth + 1));
        match expr {
            Expr::Bool { .. } | Expr::Null { .. } => Ok(()),
            Expr::String { value, .. } | Expr::RawString { value, .. } => {
                self.texts.extend(value.as_string().map(|text| text.to_string()));
                Ok(())
            }
            Expr::Number { value, .. } => match value.as_number() {
                Ok(number) if number.is_integer() => Ok(()),
                _ => Err(refused("a number that is not an integer".to_owned())),
            },
            Expr::Var { span, .. } => {
                self.mentions.insert(span.text().to_owned());
                self.variables.insert(span.text().to_owned());
                Ok(())
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().try_for_each(|item| self.expr(item, depth + 1))
            }
            Expr::Object { fields, .. } => fields.iter().try_for_each(|(_, key, value)| {
                self.expr(key, depth + 1)?;
                self.expr(value, depth + 1)
            }),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.comprehension(&[term], query, depth + 1)
            }
            Expr::ObjectCompr { key, value, query, .. } => self.comprehension(&[key, value], query, depth + 1),
            Expr::Call { fcn, params, .. } => {
                let path = path_of(fcn).ok_or_else(|| refused("a call of something that has no name".to_owned()))?;
                let last = path.rsplit('.').next().unwrap_or(&path);
                if !FUNCTIONS.contains(&path.as_str()) && !self.functions.contains(last) {
                    return Err(refused(format!("function {path} is not one that always answers the same")));
                }
                self.mentions.insert(last.to_owned());
                params.iter().try_for_each(|param| self.expr(param, depth + 1))
            }
            Expr::UnaryExpr { expr, .. } => all(&[expr]),
            Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr, depth),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => all(&[lhs, rhs]),
            Expr::Membership { key, value, collection, .. } => {
                key.iter().try_for_each(|key| self.expr(key, depth + 1))?;
                self.expr(value, depth + 1)?;
                self.expr(collection, depth + 1)
            }
            // What other features of regorus add to the language.
            #[allow(unreachable_patterns, reason = "there are more kinds where another crate asks regorus for them")]
            _ => Err(refused("a construct that is not Rego".to_owned())),
        }
    }

    /// Its variables are its own; regorus looks at them.
    fn comprehension(&mut self, terms: &[&Expr], query: &Query, depth: usize) -> Result<(), Refusal> {
        let outside = std::mem::take(&mut self.variables);
        terms.iter().try_for_each(|term| self.expr(term, depth))?;
        self.query(query, depth)?;
        self.variables = outside;
        Ok(())
    }

    /// A path: its indexes are expressions, its names are mentions, and what is below `input` is data.
    fn reference(&mut self, expr: &Expr, depth: usize) -> Result<(), Refusal> {
        let mut names = Vec::new();
        let mut at = expr;
        loop {
            match at {
                Expr::RefDot { refr, field, .. } => {
                    names.push(field.0.text().to_owned());
                    at = refr;
                }
                Expr::RefBrack { refr, index, .. } => {
                    self.expr(index, depth + 1)?;
                    if let Expr::String { value, .. } = &**index {
                        names.extend(value.as_string().map(|text| text.to_string()));
                    }
                    at = refr;
                }
                _ => break,
            }
        }
        if !matches!(at, Expr::Var { span, .. } if span.text() == "input") {
            self.mentions.extend(names);
            self.expr(at, depth + 1)?;
        }
        Ok(())
    }
}

/// The first part of a rule's name that is not a variable part: `p` of `p[x]`, `q` of `p.q`.
fn head_name(refr: &Expr) -> Option<String> {
    match refr {
        Expr::RefBrack { refr, index, .. } if !matches!(&**index, Expr::String { .. }) => head_name(refr),
        _ => name_of(refr),
    }
}

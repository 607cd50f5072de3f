//! The names of rules: `# METADATA` comments, in the form of OPA's annotations, directly above a rule.
//!
//! ```rego
//! # METADATA
//! # labels:
//! #   id: prod-db-read
//! permit contains {"id": "prod-db-read", "obligations": []} if …
//! ```

/// A block of comment lines that names a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The id.
    pub(super) id: String,
    /// The line below the block, counted from 1, where the rule must stand.
    pub(super) rule_line: u32,
}

/// Every block that has `labels.id` or `custom.id`.
pub(super) fn named(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut lines = (1u32..).zip(text.lines()).peekable();
    while let Some((_, line)) = lines.next() {
        if comment(line).is_none_or(|text| text.trim() != "METADATA") {
            continue;
        }
        let (mut section, mut id) = ("", None);
        let mut below = u32::MAX;
        while let Some(&(number, line)) = lines.peek() {
            let Some(text) = comment(line) else {
                below = number;
                break;
            };
            lines.next();
            let (key, value) = text.split_once(':').unwrap_or((text, ""));
            if !key.starts_with([' ', '\t']) {
                section = key.trim();
            } else if key.trim() == "id" && matches!(section, "labels" | "custom") {
                id = Some(unquoted(value.trim()).to_owned());
            }
        }
        found.extend(id.map(|id| Named { id, rule_line: below }));
    }
    found
}

/// What a line says that is nothing but a comment, without `#` and the space after it.
fn comment(line: &str) -> Option<&str> {
    let text = line.strip_prefix('#')?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

fn unquoted(value: &str) -> &str {
    let inside = |quote| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_opa_writes_them() {
        let text = "package jit\n\n# METADATA\n# title: Read\n# labels:\n#   team: db\n#   id: \"read\"\npermit contains 1\n\
                    # METADATA\n# custom:\n#  id: 'write'\nx := 1\n# METADATA\n# id: none\n# scope: rule\ny := 2\n# METADATA\n# labels:\n#   id: last";
        let id = |id: &str, rule_line| Named { id: id.to_owned(), rule_line };
        assert_eq!(named(text), [id("read", 8), id("write", 12), id("last", u32::MAX)]);
    }
}

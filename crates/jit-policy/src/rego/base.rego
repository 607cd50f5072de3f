# How rules become a decision: a `forbid` wins, a `permit` is needed, and every permit's obligations are demanded.
# Write your rules in files beside this one, in package `jit`, as members of `permit` and `forbid`.
package jit

permit contains rule if some rule in []

forbid contains rule if some rule in []

decision := {"effect": "deny", "rules": ids(forbid), "obligations": []} if count(forbid) > 0

decision := {"effect": "permit", "rules": ids(permit), "obligations": demanded} if {
	count(forbid) == 0
	count(permit) > 0
}

decision := {"effect": "deny", "rules": [], "obligations": []} if {
	count(forbid) == 0
	count(permit) == 0
}

demanded contains obligation if {
	some rule in permit
	some obligation in rule.obligations
}

ids(rules) := [named | some rule in rules; named := {"id": rule.id}]

# approvals({"sre": 1, "dba": 2}): so many approvals of each group.
approvals(counts) := {
	"type": "approvals",
	"properties": [one |
		some group
		n := counts[group]
		one := {"group": group, "count": n}
	],
}

# max_duration(14400): the longest window, in seconds.
max_duration(seconds) := {"type": "max_duration", "properties": seconds}

# approval_deadline(7200): how long people have for their approvals, in seconds.
approval_deadline(seconds) := {"type": "approval_deadline", "properties": seconds}

# justification({"min_length": 20, "tickets": ["INC-#"], "references": ["tickets"]}): what it must have, one or more of these.
justification(demand) := {"type": "justification", "properties": demand}

# condition("source_address", ["10.0.0.0/8"], "issuer"): enforced by "broker", "issuer" or "target", or only "advisory".
condition(id, value, enforcement) := {
	"type": "condition",
	"properties": {"id": id, "value": value, "enforcement": enforcement},
}

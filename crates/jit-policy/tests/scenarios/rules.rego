package jit

# Databases.

# METADATA
# labels:
#   id: db-read
permit contains {"id": "db-read", "obligations": [approvals({"sre": 1}), max_duration(14400)]} if {
	input.action == "read"
	"oncall" in input.subject.within.group
	"database:prod" in input.resource.within.resource
	input.context.requested_duration <= 14400
}

# METADATA
# labels:
#   id: db-write
permit contains {"id": "db-write", "obligations": [approvals({"sre": 2, "dba": 1}), max_duration(3600)]} if {
	input.action == "write"
	"oncall" in input.subject.within.group
	"database:prod" in input.resource.within.resource
	input.context.justification_length >= 20
}

# METADATA
# labels:
#   id: db-staging
permit contains {"id": "db-staging", "obligations": [max_duration(28800)]} if {
	input.action in {"read", "write"}
	"engineers" in input.subject.within.group
	"database:staging" in input.resource.within.resource
}

# METADATA
# labels:
#   id: db-payroll
forbid contains {"id": "db-payroll"} if {
	"database:prod/payroll" in input.resource.within.resource
	not "payroll" in input.subject.within.group
}

# Kubernetes.

# METADATA
# labels:
#   id: k8s-view
permit contains {"id": "k8s-view", "obligations": [max_duration(28800)]} if {
	input.action == "read"
	"engineers" in input.subject.within.group
	"k8s:prod" in input.resource.within.resource
}

# METADATA
# labels:
#   id: k8s-admin
permit contains {"id": "k8s-admin", "obligations": [approvals({"sre": 1}), max_duration(7200)]} if {
	input.action == "admin"
	"sre" in input.subject.within.group
	"k8s:prod" in input.resource.within.resource
	input.facts.ticket == "open"
}

# METADATA
# labels:
#   id: k8s-system
forbid contains {"id": "k8s-system"} if {
	input.action in {"write", "admin"}
	"k8s:prod/kube-system" in input.resource.within.resource
	not input.context.break_glass
}

# Cloud roles.

# METADATA
# labels:
#   id: cloud-billing
permit contains {"id": "cloud-billing", "obligations": []} if {
	input.action == "read"
	"finance" in input.subject.within.group
	"cloud:aws/billing" in input.resource.within.resource
}

# METADATA
# labels:
#   id: cloud-admin
permit contains {"id": "cloud-admin", "obligations": [approvals({"security": 1, "platform": 1}), max_duration(3600)]} if {
	input.action == "admin"
	"platform" in input.subject.within.group
	"cloud:aws" in input.resource.within.resource
	input.facts.risk < data.risk.low
}

# METADATA
# labels:
#   id: cloud-risky
forbid contains {"id": "cloud-risky"} if {
	"cloud:aws" in input.resource.within.resource
	input.facts.risk >= data.risk.high
}

# Deployments.

# METADATA
# labels:
#   id: deploy-staging
permit contains {"id": "deploy-staging", "obligations": [max_duration(1800)]} if {
	input.action == "deploy"
	"ci" in input.subject.within.group
	"deployment:staging" in input.resource.within.resource
}

# METADATA
# labels:
#   id: deploy-prod
permit contains {"id": "deploy-prod", "obligations": [approvals({"release": 1}), max_duration(900)]} if {
	input.action == "deploy"
	"ci" in input.subject.within.group
	input.subject.type == "workload"
	"deployment:prod" in input.resource.within.resource
	input.facts.change == "approved"
}

# METADATA
# labels:
#   id: deploy-freeze
forbid contains {"id": "deploy-freeze"} if {
	input.action == "deploy"
	"deployment:prod" in input.resource.within.resource
	some freeze in data.freezes
	input.context.now >= freeze.from
	input.context.now < freeze.to
}

# Agents.

# METADATA
# labels:
#   id: agent-read
permit contains {"id": "agent-read", "obligations": [approvals({"sre": 1}), max_duration(900)]} if {
	input.action == "read"
	input.subject.type == "agent"
	"oncall" in input.context.on_behalf_of.within.group
	"database:prod" in input.resource.within.resource
}

# METADATA
# labels:
#   id: agent-autonomous
forbid contains {"id": "agent-autonomous"} if {
	input.action in {"write", "admin", "deploy"}
	input.subject.type == "agent"
	input.subject.attrs.autonomous
}

# METADATA
# labels:
#   id: depth
forbid contains {"id": "depth"} if input.context.delegation_depth > 2

# Secrets, with every demand there is.

# METADATA
# labels:
#   id: vault-read
permit contains {"id": "vault-read", "obligations": obligations} if {
	input.action == "read"
	"oncall" in input.subject.within.group
	"vault:prod" in input.resource.within.resource
	obligations := [
		{"type": "approvals", "properties": [
			{"group": "sre", "count": 1, "escalation": [{"after": 1800, "to": "leads"}]},
			{"group": "security", "count": 1},
		]},
		max_duration(3600),
		approval_deadline(7200),
		justification({"min_length": 20, "tickets": ["INC-#"], "references": ["tickets"]}),
		condition("mfa", true, "broker"),
		condition("session_recording", true, "issuer"),
		condition("x_ticket_open", true, "broker"),
		condition("source_address", ["10.0.0.0/8", "192.0.2.7"], "issuer"),
		condition("notification", ["leads", "security"], "broker"),
		condition("post_review", 86400, "broker"),
	]
}

# Of keys both rules hold, and the stricter of what they demand.

# METADATA
# labels:
#   id: vault-keys
permit contains {"id": "vault-keys", "obligations": obligations} if {
	input.action == "read"
	"oncall" in input.subject.within.group
	"vault:prod/keys" in input.resource.within.resource
	obligations := [
		approvals({"security": 2}),
		approval_deadline(3600),
		justification({"min_length": 40}),
		condition("managed_device", true, "broker"),
		condition("session_recording", true, "advisory"),
		condition("source_address", ["10.1.0.0/16"], "target"),
		condition("notification", ["owners"], "broker"),
		condition("post_review", 14400, "broker"),
	]
}

# Who may approve and review.

# METADATA
# labels:
#   id: approve-sre
permit contains {"id": "approve-sre", "obligations": []} if {
	input.action == "approve"
	input.subject.type == "human"
	"sre" in input.subject.within.group
	"database:prod" in input.resource.within.resource
	input.context.judging.group == "sre"
	not input.context.judging.owner
}

# METADATA
# labels:
#   id: approve-owner
permit contains {"id": "approve-owner", "obligations": [condition("owner_may_approve", true, "broker")]} if {
	input.action == "approve"
	input.subject.type == "human"
	"sre" in input.subject.within.group
	"database:prod" in input.resource.within.resource
	input.context.judging.owner
	every action in input.context.judging.actions { action == "read" }
}

# METADATA
# labels:
#   id: approve-contractor
forbid contains {"id": "approve-contractor"} if {
	input.action == "approve"
	"contractors" in input.subject.within.group
	"write" in input.context.judging.actions
}

# METADATA
# labels:
#   id: review-security
permit contains {"id": "review-security", "obligations": []} if {
	input.action == "review"
	input.subject.type == "human"
	"security" in input.subject.within.group
	not "security" in input.context.judging.requester.within.group
}

# Emergencies.

# METADATA
# labels:
#   id: break-glass
permit contains {"id": "break-glass", "obligations": [max_duration(1800)]} if {
	input.action == "admin"
	"oncall" in input.subject.within.group
	"database:prod" in input.resource.within.resource
	input.context.break_glass
}

# Everything.

# METADATA
# labels:
#   id: too-long
forbid contains {"id": "too-long"} if input.context.requested_duration > 86400

# METADATA
# labels:
#   id: fails
forbid contains {"id": "fails"} if {
	"database:prod/broken" in input.resource.within.resource
	to_number(input.action) > 0
}

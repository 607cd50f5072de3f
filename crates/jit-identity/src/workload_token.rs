//! Tokens that platforms give to what runs on them: GitHub Actions, GitLab CI, Kubernetes service accounts.

use jit_core::{ExternalId, ExternalRef, Identity, Principal, PrincipalId, SystemName, Timestamp, code};

use crate::{
    error::TokenError,
    issuer::{Admitted, Profile, TokenIssuer},
    token::Typ,
    verified::Verified,
};

/// A job of GitHub Actions.
///
/// The names in `sub` and here can be given to somebody else; the ids cannot. A policy that outlives a renamed repository
/// decides on ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GithubActionsJob {
    /// The job's subject, `repo:acme/shop:ref:refs/heads/main` for example; organisations can choose its form.
    pub identity: Identity,
    /// The repository, `acme/shop`.
    pub repository: ExternalId,
    /// Its id.
    pub repository_id: ExternalId,
    /// The id of its owner.
    pub owner_id: ExternalId,
    /// The workflow file with its ref (`workflow_ref`).
    pub workflow: ExternalId,
    /// The commit (`sha`).
    pub commit: ExternalId,
    /// The run.
    pub run: ExternalId,
    /// What set it off (`event_name`).
    pub event: ExternalId,
    /// The id of whoever set it off (`actor_id`).
    pub actor_id: ExternalId,
    /// The protected environment it runs in, if any.
    pub environment: Option<ExternalId>,
    /// The run, by ids that do not change, for the request to keep: its claims are erasable.
    pub reference: ExternalRef,
}

/// A job of GitLab CI.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitlabJob {
    /// The job's subject, `project_path:acme/shop:ref_type:branch:ref:main` for example.
    pub identity: Identity,
    /// The project, `acme/shop`.
    pub project: ExternalId,
    /// Its id.
    pub project_id: ExternalId,
    /// The pipeline.
    pub pipeline: ExternalId,
    /// The job.
    pub job: ExternalId,
    /// Whether its branch or tag is protected.
    pub protected: bool,
    /// The id of whoever set it off (`user_id`).
    pub user_id: ExternalId,
    /// The environment it deploys to, if any.
    pub environment: Option<ExternalId>,
    /// The job, by ids that do not change, for the request to keep: its claims are erasable.
    pub reference: ExternalRef,
}

/// A Kubernetes service account, as a projected token names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KubernetesServiceAccount {
    /// The account's subject, `system:serviceaccount:<namespace>:<name>`.
    pub identity: Identity,
    /// Its namespace.
    pub namespace: ExternalId,
    /// Its name.
    pub name: ExternalId,
    /// Its uid, which a new account of the same name does not get.
    pub uid: ExternalId,
    /// The pod the token is bound to, if it is.
    pub pod: Option<ExternalId>,
    /// The account by its uid, for the request to keep: its claims are erasable.
    pub reference: ExternalRef,
}

macro_rules! services {
    ($($name:ident)*) => {$(
        impl $name {
            /// The principal that its acts are attributed to.
            #[must_use]
            pub fn principal(&self) -> Principal {
                Principal::Service { identity: self.identity.clone() }
            }
        }
    )*};
}

services! { GithubActionsJob GitlabJob KubernetesServiceAccount }

impl TokenIssuer {
    /// Verifies a token of GitHub Actions; the issuer is `https://token.actions.githubusercontent.com` or that of an enterprise.
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn github_actions(&self, token: &str, now: Timestamp) -> Result<Verified<GithubActionsJob>, TokenError> {
        let (admitted, identity) = self.platform(code!("github_actions"), token, now)?;
        let claims = admitted.claims();
        let (repository_id, run) = (claims.required("repository_id")?, claims.required("run_id")?);
        let content = GithubActionsJob {
            reference: reference("github", &format!("{repository_id}/runs/{run}"), "run_id")?,
            identity,
            repository: claims.required_as("repository")?,
            repository_id: claims.required_as("repository_id")?,
            owner_id: claims.required_as("repository_owner_id")?,
            workflow: claims.required_as("workflow_ref")?,
            commit: claims.required_as("sha")?,
            run: claims.required_as("run_id")?,
            event: claims.required_as("event_name")?,
            actor_id: claims.required_as("actor_id")?,
            environment: claims.parsed("environment")?,
        };
        admitted.verified(content, None)
    }

    /// Verifies an id token of GitLab CI; the issuer is the URL of the GitLab server.
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn gitlab_ci(&self, token: &str, now: Timestamp) -> Result<Verified<GitlabJob>, TokenError> {
        let (admitted, identity) = self.platform(code!("gitlab_ci"), token, now)?;
        let claims = admitted.claims();
        let (project_id, job) = (claims.required("project_id")?, claims.required("job_id")?);
        let content = GitlabJob {
            reference: reference("gitlab", &format!("{project_id}/jobs/{job}"), "job_id")?,
            identity,
            project: claims.required_as("project_path")?,
            project_id: claims.required_as("project_id")?,
            pipeline: claims.required_as("pipeline_id")?,
            job: claims.required_as("job_id")?,
            // GitLab writes it as a text.
            protected: match claims.required("ref_protected")? {
                "true" => true,
                "false" => false,
                _ => return Err(TokenError::Claim("ref_protected")),
            },
            user_id: claims.required_as("user_id")?,
            environment: claims.parsed("environment")?,
        };
        admitted.verified(content, None)
    }

    /// Verifies a projected token of a Kubernetes service account; the issuer is the cluster's. Tokens without expiry, which old
    /// clusters kept in secrets, are refused. That pod and account still exist is not checked: `TokenReview` of the cluster does that.
    ///
    /// # Errors
    /// [`TokenError`] with the first rule that it breaks.
    pub fn kubernetes(&self, token: &str, now: Timestamp) -> Result<Verified<KubernetesServiceAccount>, TokenError> {
        const CLAIM: &str = "kubernetes.io";
        let (admitted, identity) = self.platform(code!("kubernetes_service_account"), token, now)?;
        let bound = admitted.claims().object(CLAIM)?;
        let account = bound.object("serviceaccount").map_err(|_| TokenError::Claim(CLAIM))?;
        let text = |text: Option<&str>| -> Result<ExternalId, TokenError> {
            text.and_then(|text| ExternalId::new(text).ok()).ok_or(TokenError::Claim(CLAIM))
        };
        let pod = match bound.contains("pod") {
            true => Some(text(bound.object("pod")?.text("uid")?)?),
            false => None,
        };
        let content = KubernetesServiceAccount {
            namespace: text(bound.text("namespace")?)?,
            name: text(account.text("name")?)?,
            uid: text(account.text("uid")?)?,
            reference: reference("kubernetes", account.required("uid")?, CLAIM)?,
            pod,
            identity,
        };
        let named = format!("system:serviceaccount:{}:{}", content.namespace, content.name);
        if content.identity.subject.as_str() != named {
            return Err(TokenError::Claim("sub"));
        }
        admitted.verified(content, None)
    }

    fn platform(&self, kind: jit_core::Code, token: &str, now: Timestamp) -> Result<(Admitted, Identity), TokenError> {
        let profile = Profile { kind, typ: Typ::Plain, anonymous: false, actors: false };
        let admitted = self.admit(profile, token, now)?;
        let PrincipalId::Identity(identity) = admitted.subject.clone() else { return Err(TokenError::Claim("sub")) };
        Ok((admitted, identity))
    }
}

/// Something in another system, as requests keep it.
pub(crate) fn reference(system: &str, id: &str, claim: &'static str) -> Result<ExternalRef, TokenError> {
    match (SystemName::new(system), ExternalId::new(id)) {
        (Ok(system), Ok(id)) => Ok(ExternalRef { system, id, digest: None }),
        _ => Err(TokenError::Claim(claim)),
    }
}

//! What the issuer asks for, and what it makes of each answer, or of none: against a server that says what a test has it say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jit_core::{Seconds, Timestamp, Window, code};
use jit_issuer::{
    CredentialIssuer as _, MintAuthorization, MintError, MintPlan, Minted, Minting, ObserveError, PlanRefused,
    ReconcileQuery, RevokeAuthorization, RevokeOutcome,
};
use jit_issuer_aws::{AwsStsIssuer, SessionName, SourceIdentity};
use jit_testkit::{Canary, RecordedCase};
use support::{POLICY, ROLE, broker_credentials, client, issuer, setup};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// What the server does with a request: an answer with a status, none at all, or a connection that ends.
enum Answer {
    Says(&'static str, Box<dyn Fn(&Form) -> String + Send + Sync>),
    Silence,
    HangsUp,
}

type Form = BTreeMap<String, String>;

/// A server, with the forms it was sent.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Form>>>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let forms = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let form = read(&mut stream).await;
                forms.lock().unwrap().push(form.clone());
                match &answer {
                    Answer::Says(status, body) => {
                        let body = body(&form);
                        let head = format!(
                            "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            body.len()
                        );
                        stream.write_all((head + &body).as_bytes()).await.unwrap();
                    }
                    Answer::Silence => open.push(stream),
                    Answer::HangsUp => drop(stream),
                }
            }
        });
        Self { address, asked }
    }

    fn issuer(&self) -> AwsStsIssuer {
        issuer(client(&self.address, Some(broker_credentials())))
    }

    fn asked(&self) -> Vec<Form> {
        self.asked.lock().unwrap().clone()
    }
}

/// The form of a request.
async fn read(stream: &mut tokio::net::TcpStream) -> Form {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            if body.len() >= length.unwrap_or(0) {
                return body.split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
            }
        }
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "half a request: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    let decode = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    (decode(name), decode(value))
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY";

/// What STS says of a session that begins now, this long after what was asked for.
fn session(form: &Form, later: u64) -> String {
    named_session(form, &form["RoleSessionName"], later)
}

fn named_session(form: &Form, name: &str, later: u64) -> String {
    let seconds: u64 = form["DurationSeconds"].parse().unwrap();
    let end = support::now().saturating_add(Duration::from_secs(seconds + later));
    let end = Timestamp::from_micros(end.unix_seconds() * 1_000_000).unwrap();
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
         <SessionToken>token+/=</SessionToken><Expiration>{end}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{name}</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/orders-reader/{name}</Arn></AssumedRoleUser></AssumeRoleResult>\
         <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></AssumeRoleResponse>"
    )
}

fn refusal(code: &'static str) -> Box<dyn Fn(&Form) -> String + Send + Sync> {
    Box::new(move |_| {
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>User: arn:aws:iam::123456789012:user/broker may not</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        )
    })
}

/// Mints for a grant that lasts this long; gives the authorisation too.
async fn mint(issuer: &AwsStsIssuer, seconds: u64) -> (MintAuthorization, Result<Minted, MintError>) {
    let mut case = RecordedCase::approved(setup(1, seconds));
    let authorization = case.authorize(issuer);
    let minted = issuer.mint(&authorization).await.map(|minting| match minting {
        Minting::Done(minted) => minted,
        Minting::Prepared(_) => panic!("prepared"),
    });
    (authorization, minted)
}

#[tokio::test]
async fn the_call_says_why_the_session_exists() {
    let server = Server::start(Answer::Says("200 OK", Box::new(|form| session(form, 0)))).await;
    let (authorization, minted) = mint(&server.issuer(), 3600).await;
    let minted = minted.unwrap();
    let form = &server.asked()[0];
    let tags = [
        ("jit:grant", authorization.grant().to_string()),
        ("jit:decision", authorization.decision().to_string()),
        ("jit:evidence", authorization.evidence().to_string()),
    ];
    for (n, (key, value)) in tags.iter().enumerate() {
        assert_eq!(form[&format!("Tags.member.{}.Key", n + 1)], *key);
        assert_eq!(form[&format!("Tags.member.{}.Value", n + 1)], *value);
        assert_eq!(form[&format!("TransitiveTagKeys.member.{}", n + 1)], *key);
    }
    assert_eq!(form["Action"], "AssumeRole");
    assert_eq!(form["RoleArn"], ROLE);
    assert_eq!(form["Policy"], POLICY);
    assert_eq!(form["ExternalId"], "customer-7");
    assert_eq!(form["RoleSessionName"], SessionName::of(authorization.credential()).to_string());
    assert_eq!(form["SourceIdentity"].parse(), Ok(SourceIdentity::of(authorization.grant())));
    assert_eq!(form["DurationSeconds"], "3570", "the rest of the window less the allowance");
    assert!(form["RoleSessionName"].len() <= 64 && form["SourceIdentity"].len() <= 64, "longer than STS takes");
    assert!(minted.descriptor.window.is_within(&authorization.issued()));
}

#[tokio::test]
async fn a_secret_is_what_aws_tools_take_and_stands_nowhere_else() {
    let server = Server::start(Answer::Says("200 OK", Box::new(|form| session(form, 0)))).await;
    let issuer = server.issuer();
    let mut case = RecordedCase::approved(setup(1, 3600));
    let authorization = case.authorize(&issuer);
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let shown = format!("{minted:?} {issuer:?} {:?}", minted.descriptor);
    Canary::new(SECRET.as_bytes()).assert_absent("debug output", shown);
    let issued = case.issued(&minted.descriptor);
    let secret = minted.secret.unwrap().open(&issued).unwrap();
    let expires = minted.descriptor.window.end();
    assert_eq!(
        str::from_utf8(secret.expose()).unwrap(),
        format!(
            r#"{{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"{SECRET}","SessionToken":"token+/=","Expiration":"{expires}"}}"#
        )
    );
}

#[tokio::test]
async fn no_session_is_asked_for_that_would_outlive_its_grant_or_be_too_short_for_aws() {
    let server = Server::start(Answer::Says("200 OK", Box::new(|form| session(form, 0)))).await;
    let issuer = server.issuer();
    assert!(mint(&issuer, 930).await.1.unwrap().descriptor.window.duration() <= Duration::from_secs(900));
    assert_eq!(server.asked()[0]["DurationSeconds"], "900");

    // A case refuses what is shorter than the issuer says it can mint, and so does the issuer by itself.
    let mut short = RecordedCase::approved(setup(2, 929));
    assert!(short.try_intend(&issuer).is_err());
    let grant = short.case().grant().unwrap();
    let plan = MintPlan::new(grant, grant.approved.approved);
    assert_eq!(issuer.preflight(&plan).await, Err(PlanRefused { cause: code!("shorter_than_900_s") }));
    assert_eq!(issuer.fit(grant.approved.approved), None);

    // Time that passes between approval and intent is not given back.
    let mut late = RecordedCase::approved(setup(3, 3600));
    late.clock().advance(Duration::from_secs(1200));
    let authorization = late.authorize(&issuer);
    let _ = issuer.mint(&authorization).await.unwrap();
    assert_eq!(server.asked()[1]["DurationSeconds"], "2370");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_session_longer_than_asked_for_is_told_as_it_is() {
    let server = Server::start(Answer::Says("200 OK", Box::new(|form| session(form, 3600)))).await;
    let (authorization, minted) = mint(&server.issuer(), 3600).await;
    let window = minted.unwrap().descriptor.window;
    assert!(!window.is_within(&authorization.issued()), "a longer life was hidden: {window:?}");
}

#[tokio::test]
async fn what_aws_refuses_has_failed_under_its_code() {
    for (status, aws, ours) in [
        ("403 Forbidden", "AccessDenied", code!("aws_access_denied")),
        ("400 Bad Request", "PackedPolicyTooLarge", code!("aws_packed_policy_too_large")),
        ("400 Bad Request", "ExpiredTokenException", code!("aws_expired_token_exception")),
        ("400 Bad Request", "Throttling", code!("aws_throttling")),
    ] {
        let server = Server::start(Answer::Says(status, refusal(aws))).await;
        let (_, minted) = mint(&server.issuer(), 3600).await;
        assert_eq!(minted.unwrap_err(), MintError::Failed { cause: ours });
        assert_eq!(server.asked().len(), 1, "asked again by itself");
    }
}

#[tokio::test]
async fn what_was_not_answered_is_unknown_and_not_asked_again() {
    let unknown = [
        (Answer::Says("503 Service Unavailable", refusal("ServiceUnavailable")), code!("service_failed")),
        (
            Answer::Says(
                "200 OK",
                Box::new(|_| "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>".to_owned()),
            ),
            code!("answer_without_credentials"),
        ),
        (Answer::Says("200 OK", Box::new(|_| "no xml".to_owned())), code!("answer_malformed")),
        // What would become another member of the document that the holder gets.
        (
            Answer::Says("200 OK", Box::new(|form| session(form, 0).replace("ASIAEXAMPLE", "A\",\"Expiration\":\"B"))),
            code!("answer_malformed"),
        ),
        (
            Answer::Says("200 OK", Box::new(|form| named_session(form, "jit-somebody", 0))),
            code!("answer_for_another_session"),
        ),
        (Answer::HangsUp, code!("answer_lost")),
        (Answer::Silence, code!("timed_out")),
    ];
    for (answer, cause) in unknown {
        let server = Server::start(answer).await;
        let issuer = server.issuer().with_patience(Duration::from_millis(300));
        let (_, minted) = mint(&issuer, 3600).await;
        assert_eq!(minted.unwrap_err(), MintError::Unknown { cause });
        assert_eq!(server.asked().len(), 1, "asked again by itself");
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_asked() {
    let server = Server::start(Answer::Silence).await;
    let (_, minted) = mint(&issuer(client(&server.address, None)), 3600).await;
    assert_eq!(minted.unwrap_err(), MintError::Failed { cause: code!("call_not_signed") });
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn one_session_cannot_be_taken_back_nor_looked_for() {
    let server = Server::start(Answer::Says("200 OK", Box::new(|form| session(form, 0)))).await;
    let issuer = server.issuer();
    let mut case = RecordedCase::approved(setup(1, 3600));
    let authorization = case.authorize(&issuer);
    let Minting::Done(minted) = issuer.mint(&authorization).await.unwrap() else { panic!("prepared") };
    let descriptor = minted.descriptor;
    let revoke = RevokeAuthorization::store_down(code!("test"), descriptor.window.start(), &descriptor);
    let until = Some(descriptor.window.end());
    assert_eq!(issuer.revoke(&revoke, &descriptor).await, Ok(RevokeOutcome::CannotRevoke { until }));
    let intended = case.case().credentials()[&descriptor.id].intended.clone();
    let looked = issuer.reconcile(&ReconcileQuery::new(descriptor.id, intended)).await;
    assert_eq!(looked, Err(ObserveError::Unsupported));
}

#[tokio::test]
async fn configuration_keeps_within_what_aws_gives() {
    let seconds = |s: u32| Seconds::new(s.try_into().unwrap());
    let issuer = || issuer(client("127.0.0.1:9", Some(broker_credentials())));
    let bounds = |issuer: AwsStsIssuer| (issuer.capabilities().min_ttl_s, issuer.capabilities().max_ttl_s);
    assert_eq!(bounds(issuer()), (930, 3600));
    assert_eq!(bounds(issuer().with_max_ttl(seconds(1))), (930, 930));
    assert_eq!(bounds(issuer().with_max_ttl(seconds(u32::MAX))), (930, 43_200));
    assert_eq!(bounds(issuer().with_allowance(seconds(u32::MAX))), (43_200, 43_200));
    let day = Window::new(Timestamp::EPOCH, Timestamp::EPOCH.saturating_add(Duration::from_secs(86_400))).unwrap();
    assert_eq!(issuer().fit(day).map(|fit| fit.duration().as_secs()), Some(3600));
}

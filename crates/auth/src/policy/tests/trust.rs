//! Who may assume a role.

use super::*;

const ASSUME: &str = "sts:AssumeRole";
const ANA: Caller<'_> =
    Caller::Aws { account: "111122223333", arn: "arn:aws:iam::111122223333:user/ana", role_arn: None };
const BOB: Caller<'_> =
    Caller::Aws { account: "111122223333", arn: "arn:aws:iam::111122223333:user/bob", role_arn: None };
const EXCHANGE: Caller<'_> = Caller::Aws {
    account: "111122223333",
    arn: "arn:aws:sts::111122223333:assumed-role/exchange/now",
    role_arn: Some("arn:aws:iam::111122223333:role/exchange"),
};
const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/idp.example";

fn trusting(principal: &str) -> Result<TrustPolicy, Malformed> {
    TrustPolicy::parse(&document(&format!(
        r#"{{"Effect": "Allow", "Principal": {principal}, "Action": ["sts:AssumeRole", "sts:TagSession"]}}"#
    )))
}

fn ask(principal: &str, caller: &Caller<'_>) -> &'static str {
    match trusting(principal).unwrap().decide(caller, ASSUME, &Context::default()) {
        Trust::ExplicitDeny(_) => "deny",
        Trust::Named(_) => "named",
        Trust::Account(_) => "account",
        Trust::Implicit => "none",
    }
}

#[test]
fn an_account_is_trusted_in_both_spellings() {
    for principal in [r#"{"AWS": "111122223333"}"#, r#"{"AWS": ["arn:aws:iam::111122223333:root"]}"#] {
        assert_eq!(ask(principal, &ANA), "account");
        assert_eq!(ask(principal, &EXCHANGE), "account");
        assert_eq!(ask(principal, &Caller::Federated(PROVIDER)), "none");
    }
    assert_eq!(ask(r#"{"AWS": "999999999999"}"#, &ANA), "none");
}

#[test]
fn a_user_a_role_and_a_session_are_meant_by_name() {
    let user = r#"{"AWS": "arn:aws:iam::111122223333:user/ana"}"#;
    assert_eq!(ask(user, &ANA), "named");
    assert_eq!(ask(user, &BOB), "none");
    let role = r#"{"AWS": "arn:aws:iam::111122223333:role/exchange"}"#;
    assert_eq!(ask(role, &EXCHANGE), "named");
    assert_eq!(ask(role, &ANA), "none");
    let session = r#"{"AWS": "arn:aws:sts::111122223333:assumed-role/exchange/now"}"#;
    assert_eq!(ask(session, &EXCHANGE), "named");
    assert_eq!(ask(&session.replace("now", "then"), &EXCHANGE), "none");
    let both = r#"{"AWS": ["111122223333", "arn:aws:iam::111122223333:user/ana"]}"#;
    assert_eq!(ask(both, &ANA), "named");
    assert_eq!(ask(both, &BOB), "account");
}

#[test]
fn everyone_is_everyone_who_signs() {
    for principal in [r#""*""#, r#"{"AWS": "*"}"#] {
        assert_eq!(ask(principal, &ANA), "named");
        assert_eq!(ask(principal, &Caller::Federated(PROVIDER)), "none");
        assert_eq!(ask(principal, &Caller::Service("lambda.amazonaws.com")), "none");
    }
}

#[test]
fn providers_and_services_are_compared_whole() {
    let provider = r#"{"Federated": "idp.example"}"#;
    assert_eq!(ask(provider, &Caller::Federated("idp.example")), "named");
    assert_eq!(ask(provider, &Caller::Federated("idp.example.evil.test")), "none");
    assert_eq!(ask(provider, &Caller::Federated("idp")), "none");
    assert_eq!(ask(provider, &Caller::Service("idp.example")), "none");
    let service = r#"{"Service": ["messaging.chime.amazonaws.com", "chime.amazonaws.com"]}"#;
    assert_eq!(ask(service, &Caller::Service("chime.amazonaws.com")), "named");
    assert_eq!(ask(service, &Caller::Service("lambda.amazonaws.com")), "none");
}

#[test]
fn the_action_must_be_the_one_asked_for() {
    let policy = trusting(r#"{"AWS": "111122223333"}"#).unwrap();
    let context = Context::default();
    assert!(matches!(policy.decide(&ANA, "sts:TagSession", &context), Trust::Account(_)));
    assert_eq!(policy.decide(&ANA, "sts:AssumeRoleWithWebIdentity", &context), Trust::Implicit);
}

#[test]
fn a_web_identity_is_held_to_audience_and_state() {
    let policy = TrustPolicy::parse(&document(
        r#"{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": "cognito-identity.amazonaws.com"},
            "Condition": {"StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:pool"},
              "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"}}}"#,
    ))
    .unwrap();
    let ask = |aud: &str, amr: &str| {
        let given = Given::read(&format!(
            "cognito-identity.amazonaws.com:aud={aud} & cognito-identity.amazonaws.com:amr={amr}"
        ));
        let caller = Caller::Federated("cognito-identity.amazonaws.com");
        given.look(|context| {
            matches!(policy.decide(&caller, "sts:AssumeRoleWithWebIdentity", context), Trust::Named(_))
        })
    };
    assert!(ask("us-east-1:pool", "[authenticated, idp]"));
    assert!(!ask("us-east-1:pool", "[unauthenticated]"));
    assert!(!ask("us-east-1:other", "[authenticated]"));
}

#[test]
fn an_external_id_is_demanded() {
    let policy = TrustPolicy::parse(&document(
        r#"[{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "999999999999"}},
            {"Sid": "Stranger", "Effect": "Deny", "Action": "sts:AssumeRole", "Principal": "*",
             "Condition": {"StringNotEquals": {"sts:ExternalId": "42"}}}]"#,
    ))
    .unwrap();
    let them = Caller::Aws { account: "999999999999", arn: "arn:aws:iam::999999999999:root", role_arn: None };
    let ask = |given: &str| Given::read(given).look(|context| policy.decide(&them, ASSUME, context));
    let denied = Trust::ExplicitDeny(DecidedBy { policy: 0, statement: 1, sid: Some("Stranger") });
    assert!(matches!(ask("sts:ExternalId=42"), Trust::Account(_)));
    assert_eq!(ask("sts:ExternalId=41"), denied);
    assert_eq!(ask(""), denied);
}

#[test]
fn a_malformed_trust_policy_says_where() {
    let faults = [
        (r#""ana""#, "Principal"),
        ("{}", "Principal"),
        ("[]", "Principal"),
        (r#"{"User": "ana"}"#, "Principal.User"),
        (r#"{"AWS": []}"#, "Principal.AWS"),
        (r#"{"AWS": "ana"}"#, "Principal.AWS"),
        (r#"{"AWS": "1111"}"#, "Principal.AWS"),
        (r#"{"AWS": "arn:aws:iam::111122223333:user/*"}"#, "Principal.AWS"),
        (r#"{"AWS": "arn:aws:iam::*:root"}"#, "Principal.AWS"),
        (r#"{"AWS": "arn:aws:iam::111122223333:group/g"}"#, "Principal.AWS"),
        (r#"{"Federated": "*"}"#, "Principal.Federated"),
        (r#"{"Service": "*.amazonaws.com"}"#, "Principal.Service"),
    ];
    for (principal, place) in faults {
        assert_eq!(trusting(principal).unwrap_err().place(), format!("Statement[0].{place}"), "{principal}");
    }
    let no_principal = document(r#"{"Effect": "Allow", "Action": "sts:AssumeRole"}"#);
    assert_eq!(TrustPolicy::parse(&no_principal).unwrap_err().problem(), "has no Principal");
    let resource =
        document(r#"{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole", "Resource": "*"}"#);
    assert!(TrustPolicy::parse(&resource).unwrap_err().problem().contains("Resource"));
}

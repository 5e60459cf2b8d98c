//! Tokens made with real keys by other code than the one that verifies them, each good or wrong in one way.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::*;

const NOW_MS: i64 = 1_768_478_400_000;
const NOW: i64 = NOW_MS / 1000;

/// Making RSA keys takes a while, so that there are two for all tests.
static RSA: LazyLock<[RsaKeyPair; 2]> =
    LazyLock::new(|| [(); 2].map(|()| RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

fn rsa_sign(which: usize, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; RSA[which].public_modulus_len()];
    RSA[which].sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn rsa_jwk(which: usize, id: &str) -> Value {
    // The key in DER: a head of nine bytes, the modulus of 256, and the exponent, which is 65537.
    let modulus = &RSA[which].public_key().as_ref()[9..265];
    json!({ "kty": "RSA", "kid": id, "use": "sig", "n": BASE64.encode(modulus), "e": "AQAB" })
}

fn ec_jwk(curve: &str, id: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "kid": id, "x": BASE64.encode(x), "y": BASE64.encode(y) })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "chat", "sub": "ana", "name": "Ana", "exp": NOW + 60 })
}

/// A token with these parts, whatever they are.
fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = [header, claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A good token, but for its claims.
fn signed(claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "one" });
    token(&header, claims, |message| rsa_sign(0, &signature::RSA_PKCS1_SHA256, message))
}

fn verify(token: &str, keys: &KeySet) -> Result<Claims, Refusal> {
    let audiences = ["chat".to_owned(), "web".to_owned()];
    let expectation =
        Expectation { audiences: &audiences, issuer: Some("https://id.example"), now_ms: NOW_MS };
    Token::parse(token)?.verify(keys, &expectation)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_good_token_is_believed() {
    let believed = verify(&signed(&claims()), &set(&[rsa_jwk(1, "two"), rsa_jwk(0, "one")])).unwrap();
    assert_eq!((believed.text("sub"), believed.text("name")), (Some("ana"), Some("Ana")));
    assert_eq!(believed.audiences(), ["chat"]);
    assert_eq!(believed.get("exp"), Some(&json!(NOW + 60)));
    assert_eq!(believed.text("exp"), None);
}

#[test]
fn each_claim_can_be_wrong() {
    let keys = set(&[rsa_jwk(0, "one")]);
    let table = [
        ("exp", json!(NOW), Some(Refusal::Expired)),
        ("exp", json!(NOW + 1), None),
        ("exp", json!(f64::from(u32::try_from(NOW).unwrap()) + 0.5), None),
        ("exp", Value::Null, Some(Refusal::Malformed)),
        ("exp", json!("tomorrow"), Some(Refusal::Malformed)),
        ("exp", json!(-1), Some(Refusal::Expired)),
        ("exp", json!(1e300), None),
        ("nbf", json!(NOW + 31), Some(Refusal::NotYetValid)),
        ("nbf", json!(NOW + 30), None),
        ("nbf", json!(true), Some(Refusal::Malformed)),
        ("aud", json!("other"), Some(Refusal::Audience)),
        ("aud", json!(["other", "web"]), None),
        ("aud", json!([]), Some(Refusal::Audience)),
        ("aud", json!(["other"]), Some(Refusal::Audience)),
        ("aud", json!(7), Some(Refusal::Audience)),
        ("iss", json!("https://id.example/"), Some(Refusal::Issuer)),
        ("iss", Value::Null, Some(Refusal::Issuer)),
    ];
    for (name, value, refusal) in table {
        let outcome = verify(&signed(&with(name, value.clone())), &keys);
        assert_eq!(outcome.err(), refusal, "{name} is {value}");
    }
}

#[test]
fn a_token_without_an_end_is_over_and_one_without_an_audience_names_its_client() {
    let keys = set(&[rsa_jwk(0, "one")]);
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(verify(&signed(&endless), &keys).err(), Some(Refusal::Expired));
    let mut access_token = claims();
    access_token.as_object_mut().unwrap().remove("aud");
    assert_eq!(verify(&signed(&access_token), &keys).err(), Some(Refusal::Audience));
    access_token["client_id"] = json!("web");
    assert!(verify(&signed(&access_token), &keys).is_ok());
}

#[test]
fn every_accepted_algorithm_verifies_and_only_with_its_own_key() {
    let random = SystemRandom::new();
    let p256 = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ed_jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64.encode(ed.public_key()) });
    let keys = [
        rsa_jwk(0, "one"),
        ec_jwk("P-256", "p256", p256.public_key().as_ref()),
        ec_jwk("P-384", "p384", p384.public_key().as_ref()),
        ed_jwk.clone(),
    ];
    let set_of_all = set(&keys);
    let rsa = |encoding: &'static dyn RsaEncoding| move |message: &[u8]| rsa_sign(0, encoding, message);
    let make = |algorithm: &str, id: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        token(&json!({ "alg": algorithm, "kid": id }), &claims(), sign)
    };
    let tokens = [
        make("RS256", "one", &rsa(&signature::RSA_PKCS1_SHA256)),
        make("RS384", "one", &rsa(&signature::RSA_PKCS1_SHA384)),
        make("RS512", "one", &rsa(&signature::RSA_PKCS1_SHA512)),
        make("PS256", "one", &rsa(&signature::RSA_PSS_SHA256)),
        make("PS384", "one", &rsa(&signature::RSA_PSS_SHA384)),
        make("PS512", "one", &rsa(&signature::RSA_PSS_SHA512)),
        make("ES256", "p256", &|message| p256.sign(&random, message).unwrap().as_ref().to_vec()),
        make("ES384", "p384", &|message| p384.sign(&random, message).unwrap().as_ref().to_vec()),
        make("EdDSA", "ed", &|message| ed.sign(message).as_ref().to_vec()),
        make("Ed25519", "ed", &|message| ed.sign(message).as_ref().to_vec()),
    ];
    for token in &tokens {
        assert!(verify(token, &set_of_all).is_ok(), "{:?}", Token::parse(token));
        let cut = &token[..token.len() - 4];
        assert_eq!(verify(cut, &set_of_all).err(), Some(Refusal::Signature));
    }
    // A set may call it by either name (RFC 9864).
    for named in ["EdDSA", "Ed25519"] {
        let mut declared = ed_jwk.clone();
        declared["alg"] = json!(named);
        let keys = set(&[declared]);
        assert!(tokens[8..].iter().all(|token| verify(token, &keys).is_ok()), "{named}");
    }
    let crossed = make("ES256", "one", &rsa(&signature::RSA_PKCS1_SHA256));
    assert_eq!(verify(&crossed, &set_of_all).err(), Some(Refusal::Algorithm));
}

#[test]
fn a_token_cannot_choose_how_it_is_believed() {
    let jwk = rsa_jwk(0, "one");
    let keys = set(std::slice::from_ref(&jwk));
    let public_keys = [
        RSA[0].public_key().as_ref().to_vec(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        BASE64.decode(jwk["n"].as_str().unwrap()).unwrap(),
    ];
    for secret in public_keys {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let header = json!({ "alg": algorithm, "kid": "one" });
            let confused = token(&header, &claims(), |message| hmac::sign(&key, message).as_ref().to_vec());
            assert_eq!(verify(&confused, &keys).err(), Some(Refusal::Algorithm));
        }
    }
    for algorithm in ["none", "None", "NONE", "nOnE", "", "RS1", "rs256", "ed25519"] {
        for signature in [vec![], vec![0; 256]] {
            let header = json!({ "alg": algorithm, "kid": "one" });
            let unsigned = token(&header, &claims(), |_| signature);
            assert_eq!(verify(&unsigned, &keys).err(), Some(Refusal::Algorithm), "{algorithm}");
        }
    }
    // Keys that a token brings along, or points at, are nobody's.
    let header =
        json!({ "alg": "RS256", "kid": "two", "jwk": rsa_jwk(1, "two"), "jku": "https://evil.example" });
    let own_key = token(&header, &claims(), |message| rsa_sign(1, &signature::RSA_PKCS1_SHA256, message));
    assert_eq!(verify(&own_key, &keys).err(), Some(Refusal::UnknownKey));
}

#[test]
fn a_key_that_was_rotated_is_unknown_until_the_set_has_it() {
    let header = json!({ "alg": "RS256", "kid": "two" });
    let sign = |message: &[u8]| rsa_sign(1, &signature::RSA_PKCS1_SHA256, message);
    let token = token(&header, &claims(), sign);
    let before = set(&[rsa_jwk(0, "one")]);
    assert_eq!(verify(&token, &before).err(), Some(Refusal::UnknownKey));
    assert!(before.has(Some("one")) && before.has(None) && !before.has(Some("two")));
    assert!(verify(&token, &set(&[rsa_jwk(0, "one"), rsa_jwk(1, "two")])).is_ok());
    // A key of somebody else under the same id.
    assert_eq!(verify(&token, &set(&[rsa_jwk(0, "two")])).err(), Some(Refusal::Signature));
}

#[test]
fn a_token_without_a_key_id_is_tried_with_every_key() {
    let header = json!({ "alg": "RS256" });
    let token = token(&header, &claims(), |message| rsa_sign(1, &signature::RSA_PKCS1_SHA256, message));
    assert!(verify(&token, &set(&[rsa_jwk(0, "one"), rsa_jwk(1, "two")])).is_ok());
    assert_eq!(verify(&token, &set(&[rsa_jwk(0, "one")])).err(), Some(Refusal::Signature));
}

#[test]
fn an_altered_token_is_not_believed() {
    let keys = set(&[rsa_jwk(0, "one")]);
    let good = signed(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let forged = BASE64.encode(with("sub", json!("bob")).to_string());
    let forged = format!("{}.{forged}.{}", parts[0], parts[2]);
    assert_eq!(verify(&forged, &keys).err(), Some(Refusal::Signature));
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        // The last character has bits that base64 leaves out; it is altered in one that counts.
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        let altered = String::from_utf8(bytes).unwrap();
        assert!(altered == good || verify(&altered, &keys).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let keys = set(&[rsa_jwk(0, "one")]);
    let good = signed(&claims());
    let (head, rest) = good.split_once('.').unwrap();
    let array = BASE64.encode("[]");
    let extension = json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] });
    let critical = token(&extension, &claims(), |message| rsa_sign(0, &signature::RSA_PKCS1_SHA256, message));
    let large = signed(&with("name", json!("x".repeat(TOKEN_BYTES_MAX))));
    let padded = format!("{head}=.{rest}");
    for malformed in [
        "",
        ".",
        "..",
        "a.b.c",
        "Bearer",
        head,
        rest,
        &format!("{array}.{rest}"),
        &format!("{good}."),
        &format!(".{good}"),
        &format!("{good}.{good}"),
        &padded,
        &critical,
        &large,
    ] {
        assert_eq!(verify(malformed, &keys).err(), Some(Refusal::Malformed), "{malformed:.80}");
    }
}

#[test]
fn a_shared_secret_takes_its_own_algorithm_and_no_other() {
    let secret = KeySet::of_secret(b"between us");
    let make = |algorithm: &str, secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        token(&json!({ "alg": algorithm }), &claims(), |message| hmac::sign(&key, message).as_ref().to_vec())
    };
    assert!(verify(&make("HS256", b"between us"), &secret).is_ok());
    assert_eq!(verify(&make("HS256", b"guessed"), &secret).err(), Some(Refusal::Signature));
    assert_eq!(verify(&make("HS384", b"between us"), &secret).err(), Some(Refusal::Algorithm));
    assert_eq!(verify(&make("none", b"between us"), &secret).err(), Some(Refusal::Algorithm));
    assert_eq!(verify(&signed(&claims()), &secret).err(), Some(Refusal::Algorithm));
}

#[test]
fn a_set_keeps_what_verifies_signatures_and_nothing_else() {
    let altered = |name: &str, value: Value| {
        let mut jwk = rsa_jwk(0, "one");
        jwk[name] = value;
        jwk
    };
    let useless = [
        json!({ "kty": "oct", "kid": "one", "k": "c2VjcmV0" }),
        json!({ "kty": "unheard of" }),
        json!(7),
        altered("use", json!("enc")),
        altered("key_ops", json!(["encrypt"])),
        altered("alg", json!("RSA-OAEP")),
        altered("n", json!("not base64!")),
    ];
    for key in &useless {
        assert!(KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).is_err(), "{key}");
    }
    let beside = [useless.as_slice(), &[rsa_jwk(0, "one")]].concat();
    assert!(verify(&signed(&claims()), &set(&beside)).is_ok());
    let only_another = set(&[altered("alg", json!("PS256"))]);
    assert_eq!(verify(&signed(&claims()), &only_another).err(), Some(Refusal::Algorithm));
    assert!(verify(&signed(&claims()), &set(&[altered("alg", json!("RS256"))])).is_ok());
    let many = vec![rsa_jwk(0, "one"); KEYS_MAX + 1];
    for wrong in ["", "{}", "[]", r#"{"keys": []}"#, &json!({ "keys": many }).to_string()] {
        assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong:.80}");
    }
}

#[test]
fn nothing_of_a_token_or_key_is_printed() {
    let text = signed(&claims());
    let shown = format!("{:?} {:?}", Token::parse(&text).unwrap(), KeySet::of_secret(b"between us"));
    assert_eq!(shown, "Token(RS256, Some(\"one\")) KeySet(1 keys)");
}

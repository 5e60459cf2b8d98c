"""Credential exchange: an application's own token becomes credentials of one user, for SDKs, sockets and browsers."""

import base64
import hashlib
import hmac
import time
import uuid
from dataclasses import replace
from datetime import timedelta

import rsa

from harness.exchange import SECRET, Signed, ask, claims_of, part, token_of
from harness.provider import Provider, encode
from harness.world import World, refused, token

PAGE = "https://chat.example.com"


# The story of the sample application.


def test_users_sign_up_and_chat_with_exchanged_credentials(exchanging):
    server = exchanging(mode="secret", secret=SECRET)
    World(server)  # The one app instance.
    ana, bob = Signed.up(server, token_of("ana")), Signed.up(server, token_of("us-east-1:7b0c5a52-1234-4abc"))
    again = Signed.up(server, token_of("ana", name="Another name"))
    assert (again.arn, again.name) == (ana.arn, "Ana")
    assert bob.user_id == "us-east-1:7b0c5a52-1234-4abc"

    endpoint = ana.messaging.get_messaging_session_endpoint()["Endpoint"]["Url"]
    assert endpoint == server.public_host
    with ana.socket() as of_ana, bob.socket() as of_bob:
        assert [of_ana.next().kind, of_bob.next().kind] == ["SESSION_ESTABLISHED"] * 2
        channel = ana.messaging.create_channel(
            AppInstanceArn=ana.arn.split("/user/")[0],
            Name="Lobby",
            ClientRequestToken=token(),
            ChimeBearer=ana.arn,
        )["ChannelArn"]
        described = ana.messaging.describe_channel(ChannelArn=channel, ChimeBearer=ana.arn)
        assert described["Channel"]["ChannelArn"] == channel
        assert of_ana.next_of("CREATE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == ana.arn
        ana.messaging.create_channel_membership(
            ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT", ChimeBearer=ana.arn
        )
        for session in (of_ana, of_bob):
            assert session.next_of("CREATE_CHANNEL_MEMBERSHIP")["Member"]["Arn"] == bob.arn
        bob.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob.arn)
        ana.messaging.send_channel_message(
            ChannelArn=channel,
            Content="hello",
            Type="STANDARD",
            Persistence="PERSISTENT",
            ClientRequestToken=token(),
            ChimeBearer=ana.arn,
        )
        for session in (of_ana, of_bob):
            assert session.next_of("CREATE_CHANNEL_MESSAGE")["Sender"] == {"Arn": ana.arn, "Name": "Ana"}


def test_the_credentials_are_of_one_user_only(exchanging):
    server = exchanging(mode="secret", secret=SECRET)
    world = World(server)
    ana, bob = Signed.up(server, token_of("ana")), Signed.up(server, token_of("bob"))
    channel = world.channel(bob.arn)
    with refused("AccessDenied"):
        ana.messaging.describe_channel(ChannelArn=channel, ChimeBearer=bob.arn)
    with refused("AccessDenied"):
        ana.client("chime-sdk-identity").create_app_instance_user(
            AppInstanceArn=world.app_instance,
            AppInstanceUserId="eve",
            Name="Eve",
            ClientRequestToken=token(),
        )
    with ana.socket(user=bob.arn) as session:
        assert session.close_code() == 4003
    mixed = replace(ana.credentials, session_token=bob.credentials.session_token)
    with refused("UnrecognizedClient"):
        server.client("chime-sdk-messaging", mixed).get_messaging_session_endpoint()


def test_the_credentials_expire_and_the_next_ones_work(exchanging):
    server = exchanging("--test-clock", mode="secret", secret=SECRET)
    World(server)
    ana = Signed.up(server, token_of("ana"))
    with ana.socket() as session:
        assert session.next().kind == "SESSION_ESTABLISHED"
        server.advance(timedelta(seconds=3601))
        with refused("ExpiredToken"):
            ana.messaging.get_messaging_session_endpoint()
        assert session.close_code() not in (4002, 4003, 4401)
    fresh = Signed.up(server, token_of("ana"))
    assert fresh.arn == ana.arn
    fresh.messaging.get_messaging_session_endpoint()
    with fresh.socket() as session:
        assert session.next().kind == "SESSION_ESTABLISHED"


# Whose tokens are taken.


def test_a_token_that_is_not_good_is_refused_with_the_words_that_clients_expect(exchanging):
    server = exchanging(mode="secret", secret=SECRET, audience="web, phone", issuer="https://app.example.com")
    World(server)
    good = {"aud": "phone", "iss": "https://app.example.com"}
    assert ask(server, token_of("ana", **good)).status == 200
    assert ask(server, base64.b64encode(token_of("ana", **good).encode()).decode()).status == 200
    unsigned = f"{part({'alg': 'none'})}.{part(claims_of('ana', **good))}."
    for bad in [
        None,
        "",
        "nonsense",
        unsigned,
        token_of("ana", secret="guessed", **good),
        token_of("ana", **good | {"exp": int(time.time()) - 1}),
        token_of("ana", **good | {"exp": None}),
        token_of("ana", **good | {"nbf": int(time.time()) + 600}),
        token_of("ana", **good | {"aud": "other"}),
        token_of("ana", **good | {"iss": "https://evil.example.com"}),
        token_of("ana", **good | {"sub": None}),
        token_of("ana", **good | {"pad": "x" * 20_000}),
    ]:
        answer = ask(server, bad, Origin=PAGE)
        assert (answer.status, answer.body) == (401, b"Not Authorized"), bad
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


def test_an_identity_provider_vouches_and_may_replace_its_keys(exchanging):
    with Provider() as provider:
        server = exchanging(mode="jwt", jwks_url=f"{provider.issuer}/keys", audience="chat")
        World(server)
        assert Signed.up(server, provider.token(sub="ana")).user_id == "ana"
        old = provider.token()
        for bad in [
            provider.token(aud="other"),
            provider.token(exp=int(time.time()) - 1),
            provider.token(nbf=int(time.time()) + 600),
            provider.token(alg="none"),
            provider.token(key=rsa.newkeys(2048)[1]),
            confused(provider),
        ]:
            assert ask(server, bad).status == 401, bad
        provider.rotate("second")
        assert Signed.up(server, provider.token(sub="bob")).user_id == "bob"
        assert ask(server, old).status == 401
    # The last keys serve while the provider is down.
    assert Signed.up(server, provider.token(sub="carol")).user_id == "carol"


def test_the_keys_are_found_through_the_issuer(exchanging):
    with Provider() as provider:
        server = exchanging(mode="jwt", issuer=provider.issuer, audience="chat", user_id_claim="uid")
        World(server)
        assert Signed.up(server, provider.token(uid="ana@example.com")).user_id == "ana@example.com"
        assert ask(server, provider.token(uid="ana", iss="https://evil.example.com")).status == 401
        assert ask(server, provider.token()).status == 401


def confused(provider: Provider) -> str:
    """A token that takes the public key for a shared secret."""
    ((key_id, key),) = provider.keys.items()
    public = rsa.PublicKey(key.n, key.e).save_pkcs1()
    signed = f"{part({'alg': 'HS256', 'kid': key_id})}.{part(claims_of('ana', aud='chat'))}"
    return f"{signed}.{encode(hmac.digest(public, signed.encode(), 'sha256'))}"


def test_in_anonymous_mode_everybody_is_somebody_new(exchanging):
    server = exchanging(mode="anonymous")
    world = World(server)
    first, second = Signed.up(server, None), Signed.up(server, "anything")
    assert first.arn != second.arn
    for signed in (first, second):
        assert signed.user_id.startswith("anon_")
        uuid.UUID(signed.user_id.removeprefix("anon_"))
    listed = first.client("chime-sdk-identity").list_app_instance_users(AppInstanceArn=world.app_instance)
    assert {user["AppInstanceUserArn"] for user in listed["AppInstanceUsers"]} == {first.arn, second.arn}


def test_an_id_that_users_cannot_have_becomes_one_of_its_own(exchanging):
    server = exchanging(mode="secret", secret=SECRET)
    World(server)
    mapped = Signed.up(server, token_of("auth0|5f7c8ec7c33c6c004bbafe82", name=None))
    digest = hashlib.sha256(b"auth0|5f7c8ec7c33c6c004bbafe82").hexdigest()
    assert (mapped.user_id, mapped.name) == (f"sha256:{digest[:48]}", mapped.user_id)
    mapped.messaging.list_channel_memberships_for_app_instance_user(ChimeBearer=mapped.arn)
    assert Signed.up(server, token_of(mapped.user_id)).arn != mapped.arn


def test_the_app_instance_is_the_only_one_or_the_one_that_is_named(exchanging):
    server = exchanging(mode="anonymous")
    assert ask(server, None).status == 503
    first = World(server)
    assert Signed.up(server, None).arn.startswith(first.app_instance)
    second = World(server)
    assert ask(server, None).status == 503
    server.stop()
    server.environment["CARILLON_EXCHANGE_APP_INSTANCE"] = second.app_instance
    server.start()
    assert Signed.up(server, None).arn.startswith(second.app_instance)


def test_serve_has_no_exchange_unless_it_is_asked_for(own_server):
    assert ask(own_server, token_of("ana")).status == 404
    assert ask(own_server, None, "OPTIONS", Origin=PAGE).status == 404


def test_an_address_that_asks_too_often_has_to_wait(exchanging):
    server = exchanging(mode="secret", secret=SECRET)
    answers = [ask(server, "nonsense", Origin=PAGE) for _ in range(400)]
    assert {answer.status for answer in answers} == {401, 429}
    busy = next(answer for answer in answers if answer.status == 429)
    assert int(busy.headers["Retry-After"]) >= 1
    assert busy.headers["Access-Control-Allow-Origin"] == PAGE


# Browsers.


def test_a_browser_may_ask_from_an_origin_that_is_listed(exchanging):
    server = exchanging(mode="secret", secret=SECRET, origins=f"{PAGE},http://localhost:9000")
    World(server)
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    for origin in (PAGE, "http://localhost:9000"):
        preflight = ask(server, None, "OPTIONS", Origin=origin, **asks)
        assert preflight.status in (200, 204)
        assert preflight.headers["Access-Control-Allow-Origin"] == origin
        assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
        assert preflight.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
        assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization"
        answer = ask(server, token_of("ana"), Origin=origin)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers["Vary"] == "Origin"
        assert answer.headers["Cache-Control"] == "no-store"
    for origin in ("https://evil.example.com", "null", f"{PAGE}.evil.example", "http://chat.example.com"):
        preflight = ask(server, None, "OPTIONS", Origin=origin, **asks)
        assert "Access-Control-Allow-Origin" not in preflight.headers
        answer = ask(server, token_of("ana"), Origin=origin)
        assert (answer.status, answer.body) == (401, b"Not Authorized")
        assert "Access-Control-Allow-Origin" not in answer.headers

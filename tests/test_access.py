"""IAM and STS with boto3 and the AWS CLI: users, roles, sessions, and what their policies let them do."""

import json
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path

import pytest
import rsa
from botocore.exceptions import ClientError

from harness.provider import KEY_BITS, Provider
from harness.server import ACCOUNT, REGION, Credentials, Server, environment
from harness.session import Session
from harness.world import World, refused, token

EXPIRED = 4001
FORBIDDEN = 4003
NOT_AUTHORIZED = 4401
SESSION_S = 900
CHAT = ["chime:Connect", "chime:SendChannelMessage", "chime:ListChannelMessages"]


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory):
    """One with a clock that can be moved."""
    server = Server(tmp_path_factory.mktemp("server"), engine, "--test-clock").start()
    yield server
    server.stop()


@pytest.fixture
def iam(server):
    return server.client("iam")


@pytest.fixture
def sts(server):
    return server.client("sts")


def advance(server: Server, seconds: int) -> None:
    body = json.dumps({"advance_seconds": seconds}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{server.http_url}/_carillon/clock", body, headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def document(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resources="*", **more) -> dict:
    return {"Effect": "Allow", "Action": actions, "Resource": resources} | more


def trust(principal: dict, actions: list[str], **more) -> str:
    return document({"Effect": "Allow", "Principal": principal, "Action": actions} | more)


TRUST_ACCOUNT = trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ["sts:AssumeRole", "sts:TagSession"])


def chat_role(iam, world: World, trust_policy: str = TRUST_ACCOUNT, variable: str = "aws:PrincipalTag/user_id"):
    """A role each of whose sessions is one user; answers its ARN."""
    name = f"ChatUser-{uuid.uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy)["Role"]
    own = [f"{world.app_instance}/user/${{{variable}}}", f"{world.app_instance}/channel/*"]
    iam.put_role_policy(RoleName=name, PolicyName="chat", PolicyDocument=document(allow(CHAT, own)))
    return role["Arn"]


def credentials_of(answer: dict) -> Credentials:
    given = answer["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def assume(sts, role: str, user: str, **options) -> Credentials:
    tags = [{"Key": "user_id", "Value": user.rsplit("/", 1)[1]}]
    answer = sts.assume_role(
        RoleArn=role, RoleSessionName="chime_ana", Tags=tags, DurationSeconds=SESSION_S, **options
    )
    return credentials_of(answer)


def code_of(error: ClientError) -> tuple[int, str]:
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def refusal(call, **arguments) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return code_of(caught.value)


# Sessions.


def test_a_session_is_one_user_until_it_ends(server, world, iam, sts):
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    session = assume(sts, chat_role(iam, world), ana)
    world.messaging = server.client("chime-sdk-messaging", session)
    world.send(channel, ana, "as myself")
    with pytest.raises(ClientError) as caught:
        world.send(channel, bob, "as another")
    assert code_of(caught.value) == (403, "AccessDeniedException")
    message = caught.value.response["Error"]["Message"]
    words = f"perform: chime:SendChannelMessage on resource: {bob} because no identity-based policy allows the"
    assert message.startswith("User: arn:aws:sts::") and words in message, message
    with Session.established(server, ana, credentials=session) as socket:
        with Session(server, bob, credentials=session) as other:
            assert other.close_code() == FORBIDDEN
        advance(server, SESSION_S)
        assert socket.close_code() == EXPIRED
    with refused("ExpiredToken"):
        world.send(channel, ana, "too late")
    with Session(server, ana, credentials=session) as late:
        assert late.close_code() == NOT_AUTHORIZED
    fresh = assume(sts, chat_role(iam, world), ana)
    world.messaging = server.client("chime-sdk-messaging", fresh)
    world.send(channel, ana, "with fresh credentials")


def test_chained_sessions_last_an_hour_at_most(server, world, iam, sts):
    ana = world.user("ana")
    role = chat_role(iam, world)
    name = role.rsplit("/", 1)[1]
    policy = document(allow(["sts:AssumeRole", "sts:TagSession"], role))
    iam.put_role_policy(RoleName=name, PolicyName="chain", PolicyDocument=policy)
    iam.update_role(RoleName=name, MaxSessionDuration=7200)
    chained = server.client("sts", assume(sts, role, ana))
    assert chained.get_caller_identity()["Arn"].endswith(f":assumed-role/{name}/chime_ana")
    again = {"RoleArn": role, "RoleSessionName": "again"}
    assert refusal(chained.assume_role, DurationSeconds=7200, **again) == (400, "ValidationError")
    assert chained.assume_role(DurationSeconds=3600, **again)["AssumedRoleUser"]["Arn"].endswith("/again")


# Web identities.


def test_tokens_of_a_provider_are_believed_or_not(server, world, iam):
    with Provider() as provider:
        arn = iam.create_open_id_connect_provider(Url=provider.issuer, ClientIDList=["chat"])
        arn = arn["OpenIDConnectProviderArn"]
        bare = provider.issuer.removeprefix("http://")
        conditions = {"StringEquals": {f"{bare}:aud": "chat"}, "StringLike": {f"{bare}:sub": "ana*"}}
        trusted = trust({"Federated": arn}, ["sts:AssumeRoleWithWebIdentity"], Condition=conditions)
        role = chat_role(iam, world, trusted, f"{bare}:sub")
        ana = world.user("ana")
        sub = ana.rsplit("/", 1)[1]
        # Nothing signs: no credentials are needed.
        unsigned = server.client("sts", Credentials("NOBODY", "nothing"))

        def exchange(token: str) -> dict:
            return unsigned.assume_role_with_web_identity(
                RoleArn=role, RoleSessionName="web", WebIdentityToken=token
            )

        answer = exchange(provider.token(sub=sub))
        assert (answer["SubjectFromWebIdentityToken"], answer["Audience"], answer["Provider"]) == (sub, "chat", arn)
        channel = world.channel(ana)
        world.messaging = server.client("chime-sdk-messaging", credentials_of(answer))
        world.send(channel, ana, "as the token says")

        stranger = rsa.newkeys(KEY_BITS)[1]
        old = provider.token(sub=sub)
        for token, refusal_code in [
            (provider.token(sub=sub, aud="other"), (400, "InvalidIdentityToken")),
            (provider.token(sub=sub, exp=1), (400, "ExpiredTokenException")),
            (provider.token(sub=sub, key=stranger), (400, "InvalidIdentityToken")),
            (provider.token(sub=sub, alg="none"), (400, "InvalidIdentityToken")),
            (provider.token(sub=sub, iss="https://elsewhere.example.test"), (400, "InvalidIdentityToken")),
            (provider.token(sub="bob"), (403, "AccessDenied")),
            ("nonsense", (400, "InvalidIdentityToken")),
        ]:
            assert refusal(exchange, token=token) == refusal_code, token
        provider.rotate("second")
        exchange(provider.token(sub=sub))
        assert refusal(exchange, token=provider.token(sub=sub, key=stranger)) == (400, "InvalidIdentityToken")
        assert refusal(exchange, token=old) == (400, "InvalidIdentityToken")


# Keys.


def test_a_key_is_rotated_and_deactivated(server, world, iam):
    name = f"ops-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name, Tags=[{"Key": "team", "Value": "chat"}])
    everything = document(allow("chime:ListAppInstances"))
    iam.put_user_policy(UserName=name, PolicyName="list", PolicyDocument=everything)
    keys = [iam.create_access_key(UserName=name)["AccessKey"] for _ in range(2)]
    assert refusal(iam.create_access_key, UserName=name) == (409, "LimitExceeded")
    clients = [
        server.client("chime-sdk-identity", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
        for key in keys
    ]
    for client in clients:
        client.list_app_instances()
    iam.update_access_key(UserName=name, AccessKeyId=keys[0]["AccessKeyId"], Status="Inactive")
    with refused("UnrecognizedClient"):
        clients[0].list_app_instances()
    clients[1].list_app_instances()
    with refused("AccessDenied"):
        clients[1].create_app_instance(Name="No", ClientRequestToken=token())
    listed = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert {key["AccessKeyId"]: key["Status"] for key in listed} == {
        keys[0]["AccessKeyId"]: "Inactive",
        keys[1]["AccessKeyId"]: "Active",
    }
    server.stop()
    server.start()
    clients[1].list_app_instances()
    assert keys[1]["SecretAccessKey"] not in server.log.read_text(errors="replace")


def test_who_has_no_key_learns_nothing(server, iam):
    """An unknown key and a wrong secret differ in their names alone, as SDKs need them to."""
    name = f"ops-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
    for credentials, exception in [
        (Credentials("AKIAAAAAAAAAAAAAAAAA", "x" * 40), "UnrecognizedClient"),
        (Credentials(key, "x" * 40), "InvalidSignature"),
    ]:
        with refused(exception):
            server.client("chime-sdk-identity", credentials).list_app_instances()
    for credentials, code in [
        (Credentials("AKIAAAAAAAAAAAAAAAAA", "x" * 40), "InvalidClientTokenId"),
        (Credentials(key, "x" * 40), "SignatureDoesNotMatch"),
    ]:
        assert refusal(server.client("sts", credentials).get_caller_identity) == (403, code)


# Managing.


def test_policies_have_versions_and_are_attached(iam):
    suffix = uuid.uuid4().hex[:8]
    first, second = document(allow("chime:Connect")), document(allow("chime:ListChannels"))
    arn = iam.create_policy(PolicyName=f"p-{suffix}", Path="/chat/", PolicyDocument=first)["Policy"]["Arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/chat/p-{suffix}"
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=second, SetAsDefault=True)["PolicyVersion"][
        "VersionId"
    ] == "v2"
    got = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert (got["IsDefaultVersion"], got["Document"]) == (True, json.loads(second))
    iam.create_user(UserName=f"u-{suffix}")
    iam.create_role(RoleName=f"r-{suffix}", AssumeRolePolicyDocument=TRUST_ACCOUNT)
    iam.attach_user_policy(UserName=f"u-{suffix}", PolicyArn=arn)
    iam.attach_role_policy(RoleName=f"r-{suffix}", PolicyArn=arn)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [user["UserName"] for user in entities["PolicyUsers"]] == [f"u-{suffix}"]
    assert [role["RoleName"] for role in entities["PolicyRoles"]] == [f"r-{suffix}"]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 2
    assert refusal(iam.delete_policy, PolicyArn=arn) == (409, "DeleteConflict")
    iam.detach_user_policy(UserName=f"u-{suffix}", PolicyArn=arn)
    iam.detach_role_policy(RoleName=f"r-{suffix}", PolicyArn=arn)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    iam.delete_policy(PolicyArn=arn)
    assert refusal(iam.get_policy, PolicyArn=arn) == (404, "NoSuchEntity")


def test_lists_are_walked_by_the_sdks_paginators(iam):
    path = f"/{uuid.uuid4().hex[:8]}/"
    names = [f"user-{number:02}" + path.strip("/") for number in range(7)]
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3})
    assert [user["UserName"] for page in pages for user in page["Users"]] == names


def test_what_terraform_reads_of_a_role(iam):
    name = f"r-{uuid.uuid4().hex[:8]}"
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=TRUST_ACCOUNT,
        Description="chat",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    role = iam.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST_ACCOUNT)
    assert (role["Description"], role["MaxSessionDuration"], role["Tags"]) == (
        "chat",
        3600,
        [{"Key": "a", "Value": "b"}],
    )
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.tag_role(RoleName=name, Tags=[{"Key": "a", "Value": "c"}, {"Key": "d", "Value": ""}])
    iam.untag_role(RoleName=name, TagKeys=["d"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "a", "Value": "c"}]
    iam.delete_role(RoleName=name)
    assert refusal(iam.get_role, RoleName=name) == (404, "NoSuchEntity")


def test_the_command_line(server):
    """`aws iam` and `aws sts`, as an operator would."""
    keys = {
        "AWS_ACCESS_KEY_ID": server.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.credentials.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": server.http_url,
    }

    def aws(*arguments: str) -> dict:
        command = [str(Path(sys.executable).with_name("aws")), *arguments, "--output", "json"]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(server.folder) | keys
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "{}")

    assert aws("sts", "get-caller-identity") == {
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
    }
    name = f"cli-{uuid.uuid4().hex[:8]}"
    assert aws("iam", "create-user", "--user-name", name)["User"]["UserName"] == name
    key = aws("iam", "create-access-key", "--user-name", name)["AccessKey"]
    keys |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    assert aws("sts", "get-caller-identity")["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/{name}"
    session = aws("sts", "get-session-token", "--duration-seconds", "900")["Credentials"]
    keys |= {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    assert aws("sts", "get-caller-identity")["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/{name}"

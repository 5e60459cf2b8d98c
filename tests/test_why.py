"""Why? What the API of its own and the command say is what the call does, on the real binary."""

import json
import subprocess

import pytest

from harness.processor import eventually
from harness.raw import Connection
from harness.server import Credentials, binary, environment
from harness.world import World, refused, token

STATEMENT = {"Sid": "Own", "Effect": "Allow", "Action": "chime:*", "Resource": "*"}
DENY = {"Sid": "Quiet", "Effect": "Deny", "Action": "chime:SendChannelMessage", "Resource": "*"}


@pytest.fixture
def command(own_server):
    """Runs `carillon iam` on the store of the server."""

    def run(*arguments: str) -> str:
        store = ("--store", own_server.store) if own_server.store else ()
        done = subprocess.run(
            [binary(), "iam", "--data-dir", str(own_server.data_dir), *store, *arguments],
            capture_output=True,
            text=True,
            env=environment(own_server.folder),
            cwd=own_server.folder,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def policy(*statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_what_is_said_is_what_happens(own_server, command):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana)
    command("create-user", "app")
    key = json.loads(command("--json", "create-access-key", "app"))["AccessKey"]
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    client = own_server.client("chime-sdk-messaging", credentials=credentials)

    def send(bearer):
        return lambda: client.send_channel_message(
            ChannelArn=channel,
            ChimeBearer=bearer,
            Content="hello",
            Type="STANDARD",
            Persistence="PERSISTENT",
            ClientRequestToken=token(),
        )

    def why(bearer, **more):
        question = {"Bearer": bearer, "Action": "chime:SendChannelMessage", "Resource": channel} | more
        with Connection(own_server, credentials) as connection:
            answer = connection.call("POST", "/_carillon/v1/why", question)
        assert answer.status == 200, answer.body
        return answer.json

    def is_known():
        with Connection(own_server, credentials) as connection:
            return connection.call("POST", "/_carillon/v1/why", {"Action": "chime:SendChannelMessage"}).status != 403

    def said(bearer):
        answer = why(bearer)
        return answer["Allowed"], answer["DecidedBy"]

    def commanded(bearer):
        words = ("why", "chime:SendChannelMessage", channel, "--principal", "app", "--bearer", bearer)
        return json.loads(command("--json", *words))

    command("put-user-policy", "app", "p", policy(STATEMENT))
    # What the command made beside the server, that reads within a second.
    eventually(is_known, True)
    eventually(lambda: said(ana), (True, "role"))
    send(ana)()
    assert said(bob) == (False, "role")
    with refused("Forbidden"):
        send(bob)()
    assert commanded(ana) == why(ana) and commanded(bob) == why(bob)
    text = command("why", "chime:SendChannelMessage", channel, "--principal", "app", "--bearer", bob)
    assert text.startswith("refused by role: ") and "* Allow p/Own" in text

    command("put-user-policy", "app", "p", policy(STATEMENT, DENY))
    eventually(lambda: said(ana), (False, "policy"))
    with refused("AccessDenied"):
        send(ana)()
    assert commanded(ana) == why(ana)
    deciding = [one["Sid"] for one in why(ana)["Statements"] if one["Decides"]]
    assert deciding[-1] == "Quiet"
    # About others one has to be let.
    with Connection(own_server, credentials) as connection:
        about = {"Principal": own_server.credentials.access_key_id, "Action": "chime:CreateAppInstance"}
        assert connection.call("POST", "/_carillon/v1/why", about).error == "AccessDeniedException"
    shown = world.messaging.list_channel_messages(ChannelArn=channel, ChimeBearer=ana)["ChannelMessages"]
    assert [message["Content"] for message in shown] == ["hello"]

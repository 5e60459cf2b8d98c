"""Secrets are written nowhere in clear text: not in logs, not in answers, not in the store."""

import os

import pytest
from botocore.exceptions import ClientError

from harness.exchange import SECRET, Signed, ask, token_of
from harness.raw import Connection
from harness.server import Credentials, Server
from harness.world import World

MASTER_KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYyE="


def everything(server: Server) -> dict[str, bytes]:
    """What the server has written, but for the two files that hold a secret because that is what they are for."""
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    kept = {"root-credentials", "master-key"}
    written = {str(path): path.read_bytes() for path in files if path.name not in kept}
    return written | {"log": server.log.read_bytes()}


def test_no_secret_is_written_anywhere(exchanging):
    server = exchanging("--log", "trace", mode="secret", secret=SECRET)
    World(server)
    ana = Signed.up(server, token_of("ana"))
    ana.messaging.get_messaging_session_endpoint()
    token, forged = token_of("bob"), token_of("bob", secret="guessed by somebody")
    ask(server, token)
    ask(server, forged)
    wrong = Credentials(server.credentials.access_key_id, "a wrong secret access key of somebody")
    with Connection(server, wrong) as door:
        refusal = door.call("GET", "/endpoints/messaging-session")
    assert server.credentials.secret_access_key.encode() not in refusal.body
    user = access_key(server)
    caller = server.client("chime-sdk-messaging", Credentials(user["AccessKeyId"], user["SecretAccessKey"]))
    with pytest.raises(ClientError):
        caller.get_messaging_session_endpoint()
    secrets = {
        "root secret": server.credentials.secret_access_key,
        "exchange secret": SECRET,
        "session secret": ana.credentials.secret_access_key,
        "session token": ana.credentials.session_token,
        "application's token": token.rpartition(".")[2],
        "refused token": forged.rpartition(".")[2],
        "access key": user["SecretAccessKey"],
        "guess": wrong.secret_access_key,
        "master key": (server.data_dir / "master-key").read_text().splitlines()[-1],
    }
    server.stop()
    for place, written in everything(server).items():
        for name, secret in secrets.items():
            assert secret.encode() not in written, f"the {name} stands in {place}"
    server.start()
    for place, written in everything(server).items():
        assert user["SecretAccessKey"].encode() not in written, place


def access_key(server: Server) -> dict:
    iam = server.client("iam")
    iam.create_user(UserName="backend")
    return iam.create_access_key(UserName="backend")["AccessKey"]


def test_a_secret_outlives_the_key_that_it_was_sealed_with(exchanging):
    server = exchanging(mode="off")
    user = access_key(server)
    credentials = Credentials(user["AccessKeyId"], user["SecretAccessKey"])

    def who_am_i() -> str:
        return server.client("sts", credentials).get_caller_identity()["Arn"]

    assert who_am_i().endswith(":user/backend")
    master_key = server.data_dir / "master-key"
    assert os.stat(master_key).st_mode & 0o777 == 0o600
    # Another key seals from now on, and the file's still opens what it has sealed.
    server.stop()
    server.environment["CARILLON_MASTER_KEY"] = MASTER_KEY
    server.start()
    assert who_am_i().endswith(":user/backend")
    # All was sealed anew, so the old one is not needed any more.
    server.stop()
    master_key.unlink()
    server.start()
    assert who_am_i().endswith(":user/backend")
    # With neither, the server does not start: it would turn everybody away.
    server.stop()
    server.environment["CARILLON_MASTER_KEY"] = "ab" * 32
    with pytest.raises(AssertionError, match="CARILLON_MASTER_KEY"):
        server.start()
    server.environment["CARILLON_MASTER_KEY"] = MASTER_KEY
    server.start()

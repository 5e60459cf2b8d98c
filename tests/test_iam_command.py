"""`carillon iam`: what it prints, what it changes, and that a running server notices."""

import json
import subprocess

import pytest

from harness.server import Credentials, binary, environment
from harness.world import refused, token

ACCESS = """
[policies.lists]
document = '''{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "chime:ListAppInstances", "Resource": "*"}}'''

[users.worker]
policies = ["lists"]

[roles.visitor]
trust = "trust.json"
max_session_duration = 7200
inline.own = '''{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Action": "chime:Connect", "Resource": "*"}}'''
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"},
}


@pytest.fixture
def command(own_server):
    """Runs `carillon iam` on the store of the server."""

    def run(*arguments: str, code: int = 0) -> str:
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
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_a_user_is_managed_beside_a_running_server(own_server, command):
    command("create-user", "ana")
    assert "ana" in command("list-users")
    key = json.loads(command("--json", "create-access-key", "ana"))["AccessKey"]
    listed = json.loads(command("--json", "list-access-keys", "ana"))["AccessKeyMetadata"]
    assert [item["AccessKeyId"] for item in listed] == [key["AccessKeyId"]]
    assert key["SecretAccessKey"] not in json.dumps(listed)
    assert "NoSuchEntity" in command("get-user", "bob", code=1)
    assert "DeleteConflict" in command("delete-user", "ana", code=1)
    command("delete-access-key", "ana", key["AccessKeyId"])
    command("delete-user", "ana")
    assert command("list-users") == ""


def test_a_file_is_applied_once(own_server, command):
    (own_server.folder / "access.toml").write_text(ACCESS)
    (own_server.folder / "trust.json").write_text(json.dumps(TRUST))
    expected = [
        "+ policy lists",
        "+ user worker",
        "+ user worker, policy arn:aws:iam::000000000000:policy/lists",
        "+ role visitor",
        "+ role visitor, inline policy own",
    ]
    rehearsed = command("apply", "access.toml", "--dry-run")
    assert rehearsed.splitlines() == [*expected, "Nothing was changed: this was a dry run."]
    assert command("list-users") == ""
    assert command("apply", "access.toml").splitlines() == expected
    assert command("apply", "access.toml") == "Nothing to change.\n"

    changed = ACCESS.replace("7200", "3600").replace('policies = ["lists"]', "").replace("Connect", "ListChannels")
    (own_server.folder / "access.toml").write_text(changed)
    assert command("apply", "access.toml").splitlines() == [
        "- user worker, policy arn:aws:iam::000000000000:policy/lists",
        "~ role visitor, max_session_duration",
        "~ role visitor, inline policy own",
    ]
    assert command("apply", "access.toml") == "Nothing to change.\n"


def test_what_was_applied_decides_after_a_start(own_server, command):
    (own_server.folder / "access.toml").write_text(ACCESS)
    (own_server.folder / "trust.json").write_text(json.dumps(TRUST))
    command("apply", "access.toml")
    key = json.loads(command("--json", "create-access-key", "worker"))["AccessKey"]
    own_server.stop()
    own_server.start()
    client = own_server.client(
        "chime-sdk-identity", Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    )
    client.list_app_instances()
    with refused("AccessDenied"):
        client.create_app_instance(Name="x", ClientRequestToken=token())

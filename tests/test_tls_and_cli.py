"""The same server over TLS, and from the AWS CLI."""

import json
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import SSLError

from harness.server import REGION, environment
from harness.world import token

CLI_TIMEOUT_S = 60


def cli(server, endpoint: str, *words: str) -> dict:
    variables = environment(server.folder) | {
        "AWS_SHARED_CREDENTIALS_FILE": str(server.credentials_file),
        # What the AWS CLI of PyPI and boto3 read; AWS_REGION they do not.
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CA_BUNDLE": str(server.ca),
        "AWS_ENDPOINT_URL": endpoint,
    }
    command = ["aws", *words, "--output", "json"]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=CLI_TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if ended.stdout.strip() else {}


def test_boto3_speaks_tls_with_the_development_ca(server):
    client = server.client("chime-sdk-messaging", endpoint_url=server.https_url, verify=str(server.ca))
    assert client.get_messaging_session_endpoint()["Endpoint"] == {"Url": server.public_host}


def test_a_client_that_does_not_know_the_ca_refuses_the_server(server):
    client = server.client("chime-sdk-messaging", endpoint_url=server.https_url)
    with pytest.raises(SSLError):
        client.get_messaging_session_endpoint()


def test_the_certificate_is_for_the_names_of_this_machine(server):
    context = ssl.create_default_context(cafile=server.ca)
    for name in ("localhost", "127.0.0.1"):
        with (
            socket.create_connection(("127.0.0.1", server.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            assert secured.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_aws_cli_does_the_main_job(server, scheme):
    endpoint = server.http_url if scheme == "http" else server.https_url

    def identity(*words):
        return cli(server, endpoint, "chime-sdk-identity", *words)

    def messaging(*words):
        return cli(server, endpoint, "chime-sdk-messaging", *words)

    instance = identity("create-app-instance", "--name", "CLI")["AppInstanceArn"]
    user = identity(
        "create-app-instance-user",
        "--app-instance-arn",
        instance,
        "--app-instance-user-id",
        "ana",
        "--name",
        "Ana",
    )["AppInstanceUserArn"]
    bearer = ["--chime-bearer", user]
    channel = messaging(
        *("create-channel", "--app-instance-arn", instance, "--name", "Lobby", "--privacy", "PUBLIC", *bearer)
    )["ChannelArn"]
    listed = messaging("list-channels", "--app-instance-arn", instance, *bearer)
    assert [item["ChannelArn"] for item in listed["Channels"]] == [channel]
    sent = messaging(
        *(
            "send-channel-message",
            "--channel-arn",
            channel,
            "--content",
            "from the shell",
            "--type",
            "STANDARD",
        ),
        *("--persistence", "PERSISTENT", "--client-request-token", token(), *bearer),
    )
    shown = messaging("list-channel-messages", "--channel-arn", channel, *bearer)
    assert [message["Content"] for message in shown["ChannelMessages"]] == ["from the shell"]
    status = messaging(
        "get-channel-message-status", "--channel-arn", channel, "--message-id", sent["MessageId"], *bearer
    )
    assert status == {"Status": {"Value": "SENT"}}


def test_the_credentials_file_is_for_its_owner_only(server):
    assert Path(server.credentials_file).stat().st_mode & 0o777 == 0o600

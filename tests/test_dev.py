"""`carillon dev`: nothing configured, and what it prints works when pasted."""

import json

import pytest

from harness.dev import Dev, paste
from harness.processor import eventually

# The region twice: boto3 and the AWS CLI of PyPI read only the second, most other SDKs only the first.
EXPORTED = {
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.mark.parametrize("words", [("dev",), ()], ids=["dev", "no word at all"])
def test_what_dev_prints_works_when_pasted(folder, words):
    dev = Dev(folder, *words)
    try:
        exports, command = dev.printed()
        assert {line.removeprefix("export ").partition("=")[0] for line in exports} == EXPORTED
        ended = paste(folder, *exports, command)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)
    finally:
        dev.stop()


def test_in_the_lobby_of_the_demo_a_bot_repeats_what_it_is_told(folder):
    dev = Dev(folder, "dev")
    try:
        exports, command = dev.printed()
        assert paste(folder, *exports, command).returncode == 0
        channel, ana = command.split("--channel-arn ")[1].split()[:3:2]
        listed = (
            "aws chime-sdk-messaging list-channel-messages --output json"
            f" --channel-arn {channel} --chime-bearer {ana}"
        )

        def said() -> set[str]:
            messages = json.loads(paste(folder, *exports, listed).stdout)["ChannelMessages"]
            return {message["Content"] for message in messages}

        def message(words: str) -> str:
            return json.dumps({"Messages": [{"Content": words, "ContentType": "PlainText"}]}, separators=(",", ":"))

        due = {"Hello, Bob", message("Hello, Bob"), message("Hello! I repeat what I am told.")}
        eventually(said, due)
    finally:
        dev.stop()


def test_dev_keeps_its_credentials_and_its_demo_over_a_restart(folder):
    printed = []
    for _ in range(2):
        dev = Dev(folder, "dev")
        try:
            exports, command = dev.printed()
            keys = [line for line in exports if "ACCESS_KEY" in line]
            printed.append((keys, command.replace(str(dev.http_port), "PORT")))
            instances = paste(folder, *exports, "aws chime-sdk-identity list-app-instances --output json")
            assert instances.returncode == 0, instances.stderr
            assert len(json.loads(instances.stdout)["AppInstances"]) == 1
        finally:
            dev.stop()
    assert printed[0] == printed[1]


def test_the_data_of_dev_is_beside_it(folder):
    dev = Dev(folder, "dev")
    try:
        dev.printed()
        assert (folder / "carillon-data" / "carillon.db").is_file()
        assert (folder / "carillon-data" / "tls" / "ca.pem").is_file()
    finally:
        dev.stop()

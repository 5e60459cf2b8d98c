#!/usr/bin/env bash
# moto, where it enforces policies, reads the actions in them by capitals and takes `?` for the character that it is.
#
# software    moto 5.2.5 and boto3 1.44.8 of PyPI
# behaviour   names of actions have no case in IAM, and `?` stands for one character. moto knows `*` only, and only the
#             spelling of the service's model; what is written otherwise allows nothing, and it does not say that it could
#             not be read. So a policy that fails on moto may be right
# seen        sqs:ListQueues: allowed
#             sqs:List*: allowed
#             SQS:listqueues: refused
#             sqs:ListQueue?: refused
# why here    the policies of the original's sample applications write `chime:describeChannel`. Carillon reads both as IAM does
#             (crates/auth/src/policy/tests/decisions.txt): try policies for it on it, by `/_carillon/v1/why`
#             (docs/guide/access.md), not on moto
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI only, and calls nobody else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages moto==5.2.5 boto3==1.44.8 >&2

cat > run.py <<'SCRIPT'
import json
import os
import sys

os.environ |= {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
import boto3  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.core import set_initial_no_auth_action_count  # noqa: E402

ACTIONS = ["sqs:ListQueues", "sqs:List*", "SQS:listqueues", "sqs:ListQueue?"]


def key_of_a_user(name: str, action: str) -> dict[str, str]:
    """The access key of a user who may do this one action."""
    iam = boto3.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


@set_initial_no_auth_action_count(0)
def ask(key: dict[str, str]) -> str:
    try:
        boto3.client("sqs", **key).list_queues()
    except ClientError:
        return "refused"
    return "allowed"


with mock_aws():
    keys = {action: key_of_a_user(f"user-{number}", action) for number, action in enumerate(ACTIONS)}
    seen = [f"{action}: {ask(key)}" for action, key in keys.items()]
print("\n".join(seen))
sys.exit(
    seen
    != [
        "sqs:ListQueues: allowed",
        "sqs:List*: allowed",
        "SQS:listqueues: refused",
        "sqs:ListQueue?: refused",
    ]
)
SCRIPT
PYTHONPATH=packages python3 run.py

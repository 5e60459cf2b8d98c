"""Clients of the extensions, by the helpers that `spec/helpers.py` makes: boto3's, and what a TypeScript module needs."""

import functools
import runpy
import tempfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.session import Session

from harness import shapes
from harness.server import REGION, Credentials, Server

GENERATOR = Path(__file__).parent.parent.parent / "spec" / "helpers.py"


@functools.cache
def helpers() -> Path:
    """The folder that they are in, made once."""
    folder = Path(tempfile.mkdtemp(prefix="carillon-helpers-"))
    runpy.run_path(str(GENERATOR))["write"](folder)
    return folder


def client(server: Server, credentials: Credentials | None = None):
    """A boto3 client that finds its model by botocore's own loader, tries once, and reads every answer strictly."""
    credentials = credentials or server.credentials
    session = Session()
    session.get_component("data_loader").search_paths.append(str(helpers()))
    made = boto3.Session(botocore_session=session).client(
        "carillon-extensions",
        region_name=REGION,
        endpoint_url=server.http_url,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30),
    )
    made.meta.events.register("before-parse.*.*", shapes.check)
    return made

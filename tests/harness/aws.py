"""The other side of calls of AWS: what is wrong with their signatures, by botocore, which made none of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from harness.played import Answer, Played
from harness.server import REGION

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "secret"


def environment(**endpoints: str) -> dict[str, str]:
    """What leads a server to services of AWS that are played: `environment(LAMBDA=url)`."""
    return {f"AWS_ENDPOINT_URL_{service}": url for service, url in endpoints.items()} | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
    }


def signature_fault(
    service: str, method: str, path: str, headers, body: bytes, token: str | None = None
) -> str | None:
    """What is wrong with the signature of a request, as it came over the wire."""
    given = headers["authorization"] or ""
    fields = dict(field.strip().split("=", 1) for field in given.partition(" ")[2].split(",") if "=" in field)
    signed = fields.get("SignedHeaders", "").split(";")
    for name in ("host", "x-amz-date", *(["x-amz-security-token"] if token else [])):
        if name not in signed:
            return f"{name} is not signed: {given}"
    if headers["x-amz-security-token"] != token:
        return f"the session token is {headers['x-amz-security-token']}"
    of_signed = {name: headers[name] for name in signed}
    request = AWSRequest(method, f"http://{headers['host']}{path}", of_signed, body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, token), service, REGION)
    due = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    scope = f"{ACCESS_KEY_ID}/{signer.credential_scope(request)}"
    if (fields.get("Credential"), fields.get("Signature")) != (scope, due):
        return f"the signature is not {due} of {scope}: {given}"
    return None


class Issuer(Played):
    """Gives credentials as the agent of a container does: each with a token of its own, and soon over."""

    def __init__(self) -> None:
        super().__init__(self.issue)

    def issue(self, *_) -> Answer:
        end = datetime.now(UTC) + timedelta(seconds=30)
        self.note(end)
        credentials = {
            "AccessKeyId": ACCESS_KEY_ID,
            "SecretAccessKey": SECRET_ACCESS_KEY,
            "Token": f"token {len(self.calls)}",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return 200, {"content-type": "application/json"}, json.dumps(credentials).encode()


def check_input(service: str, operation: str, given: dict[str, Any]) -> str | None:
    """What of a call the service's own model, which botocore has, does not let pass."""
    model = MODELS.setdefault(service, ServiceModel(Loader().load_service_model(service, "service-2")))
    shape = model.operation_model(operation).input_shape
    unknown = set(given) - set(shape.members)
    report = ParamValidator().validate(given, shape)
    return f"{operation} has {unknown}" if unknown else report.generate_report() or None


MODELS: dict[str, ServiceModel] = {}

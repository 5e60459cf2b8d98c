"""A strict reading of answers against botocore's own model of the services.

botocore itself forgives: it skips members that it does not know and takes null for absent. Applications in other
languages do not, so every answer to every boto3 call of these tests goes through `check`.
"""

import json
import re
from collections import Counter
from typing import Any

# No model declares these: signatures and policies are checked before an operation is.
FRONT_DOOR = {
    "AccessDeniedException": 403,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
}

# How many answers of each operation were read, by whether it refused: what a run can say of its reach.
READ: Counter[tuple[str, bool]] = Counter()


def check(operation_model, response_dict, **_) -> None:
    """For botocore's event `before-parse`."""
    status, headers, body = response_dict["status_code"], response_dict["headers"], response_dict["body"]
    assert headers.get("x-amzn-requestid"), f"no request id: {dict(headers)}"
    if status >= 300:
        check_error(operation_model, status, headers, body)
        READ[operation_model.name, False] += 1
        return
    expected = operation_model.http.get("responseCode", 200)
    assert status == expected, f"{operation_model.name}: status {status}, not {expected}"
    output = operation_model.output_shape
    if output is None or not output.members:
        assert body == b"" or json.loads(body) == {}, (
            f"{operation_model.name}: a body that the model does not have: {body}"
        )
    else:
        assert headers["content-type"].startswith("application/json"), headers["content-type"]
        check_value(output, json.loads(body), operation_model.name)
    READ[operation_model.name, True] += 1


def summary() -> str:
    answers = sum(count for (_, allowed), count in READ.items() if allowed)
    refusals = sum(READ.values()) - answers
    operations = {name for name, allowed in READ if allowed}
    return (
        f"{answers} answers of {len(operations)} operations and {refusals} refusals were read strictly"
        " against botocore's model"
    )


def check_error(operation_model, status: int, headers, body: bytes) -> None:
    name = headers.get("x-amzn-errortype")
    declared = {
        shape.name: shape.metadata["error"]["httpStatusCode"] for shape in operation_model.error_shapes
    }
    allowed = declared | FRONT_DOOR
    assert name in allowed, f"{operation_model.name} does not declare {name}: {body}"
    assert status == allowed[name], f"{name} with status {status}"
    check_error_body(name, body)


def check_error_body(name: str, body: bytes) -> None:
    error = json.loads(body)
    assert error.keys() == {"Code", "Message"}, error
    short = name.removesuffix("Exception")
    assert error["Code"] in (name, short, short.removesuffix("Client")), (name, error)
    assert isinstance(error["Message"], str) and error["Message"], error


def check_value(shape, value: Any, where: str) -> None:
    assert value is not None, f"{where} is null"
    reader = READERS[shape.type_name]
    reader(shape, value, where)


def check_structure(shape, value: Any, where: str) -> None:
    assert isinstance(value, dict), f"{where} is no object: {value!r}"
    names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
    unknown = value.keys() - names.keys()
    assert not unknown, f"{where} has members that the model does not know: {unknown}"
    missing = set(shape.required_members) - value.keys()
    assert not missing, f"{where} lacks {missing}"
    for name, member in value.items():
        check_value(names[name], member, f"{where}.{name}")


def check_list(shape, value: Any, where: str) -> None:
    assert isinstance(value, list), f"{where} is no list: {value!r}"
    # The model writes one shape for what is put and what is answered; an answer may say that there is nothing.
    if value:
        check_range(shape, len(value), where)
    for place, item in enumerate(value):
        check_value(shape.member, item, f"{where}[{place}]")


def check_map(shape, value: Any, where: str) -> None:
    assert isinstance(value, dict), f"{where} is no map: {value!r}"
    for key, item in value.items():
        check_value(shape.value, item, f"{where}.{key}")


def check_string(shape, value: Any, where: str) -> None:
    assert isinstance(value, str), f"{where} is no string: {value!r}"
    assert not shape.enum or value in shape.enum, f"{where} is none of {shape.enum}: {value!r}"
    # An absent member says "nothing"; a page's token is read as "there is more" whenever it is there.
    assert value, f"{where} is empty"
    check_range(shape, len(value), where)
    pattern = shape.metadata.get("pattern", "")
    # Where Python and the model speak the same language of patterns, and that is for ARNs and ids.
    if pattern and "\\u" not in pattern and "\\p" not in pattern:
        assert re.fullmatch(pattern, value), f"{where} does not match {pattern}: {value!r}"


def check_integer(shape, value: Any, where: str) -> None:
    assert isinstance(value, int) and not isinstance(value, bool), f"{where} is no integer: {value!r}"
    check_range(shape, value, where)


def check_boolean(_shape, value: Any, where: str) -> None:
    assert isinstance(value, bool), f"{where} is no boolean: {value!r}"


def check_timestamp(_shape, value: Any, where: str) -> None:
    assert isinstance(value, int | float) and not isinstance(value, bool), f"{where} is no number: {value!r}"
    assert 1_000_000_000 < value < 10_000_000_000, f"{where} is not in seconds: {value!r}"
    assert round(value, 3) == value, f"{where} is finer than milliseconds: {value!r}"


def check_range(shape, size: int, where: str) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    assert low is None or low <= size, f"{where} is shorter than {low}"
    assert high is None or size <= high, f"{where} is longer than {high}"


READERS = {
    "structure": check_structure,
    "list": check_list,
    "map": check_map,
    "string": check_string,
    "integer": check_integer,
    "long": check_integer,
    "boolean": check_boolean,
    "timestamp": check_timestamp,
}

"""boto3's own paginators, over every operation that botocore's model pages.

botocore ships no list of paginators for these two services, so what such a list would say is read from the model: an
operation is paged when it takes a NextToken and answers one, and its items are the one list of its answer.
"""

from collections.abc import Iterator
from typing import Any

from botocore import xform_name
from botocore.paginate import Paginator

SERVICES = ("chime-sdk-identity", "chime-sdk-messaging")


def paginated(client) -> Iterator[str]:
    model = client.meta.service_model
    for name in model.operation_names:
        operation = model.operation_model(name)
        shapes = (operation.input_shape, operation.output_shape)
        if all(shape is not None and "NextToken" in shape.members for shape in shapes):
            yield name


def items_key(client, operation: str) -> str:
    output = client.meta.service_model.operation_model(operation).output_shape
    lists = [name for name, member in output.members.items() if member.type_name == "list"]
    assert len(lists) == 1, f"{operation} answers the lists {lists}"
    return lists[0]


def paginator(client, operation: str) -> Paginator:
    config = {
        "input_token": "NextToken",
        "output_token": "NextToken",
        "limit_key": "MaxResults",
        "result_key": items_key(client, operation),
    }
    method = getattr(client, xform_name(operation))
    return Paginator(method, config, client.meta.service_model.operation_model(operation))


def walk(client, operation: str, size: int, arguments: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The pages, each the items of one answer."""
    key = items_key(client, operation)
    for page in paginator(client, operation).paginate(PaginationConfig={"PageSize": size}, **arguments):
        assert len(page[key]) <= size, f"{operation}: a page of {len(page[key])}, not {size}"
        yield page[key]

"""Typed helpers for the extensions, made from `extensions.json`: a service model for botocore, and a TypeScript module.

usage: python spec/helpers.py FOLDER

`FOLDER` is then a data path of botocore: `boto3.client("carillon-extensions")` finds it there, and so does
`aws configure add-model --service-model file://FOLDER/carillon-extensions/…/service-2.json`.
`FOLDER/extensions.ts` signs by `@smithy/signature-v4`, as the AWS SDK for JavaScript does, and needs nothing else of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

DESCRIBED = Path(__file__).parent / "extensions.json"
INTERFACE = "carillon-extensions"
STATUSES = {
    "BadRequestException": 400,
    "ConflictException": 409,
    "ForbiddenException": 403,
    "NotFoundException": 404,
    "ResourceLimitExceededException": 400,
    "ServiceFailureException": 500,
    "ServiceUnavailableException": 503,
    "ThrottledClientException": 429,
    "UnauthorizedClientException": 401,
}

Described = dict[str, Any]


def botocore_model(interface: Described) -> Described:
    """What botocore calls a service model: `service-2.json`."""
    errors = sorted({error for operation in interface["operations"].values() for error in operation["errors"]})
    shapes = {name: botocore_shape(shape) for name, shape in interface["shapes"].items()}
    words = {"shape": "ErrorText"}
    for error in errors:
        shapes[error] = {
            "type": "structure",
            "members": {"Code": words, "Message": words},
            "error": {"httpStatusCode": STATUSES[error]},
            "exception": True,
        }
    return {
        "version": "2.0",
        "metadata": {
            "apiVersion": interface["apiVersion"],
            "endpointPrefix": interface["endpointPrefix"],
            "protocol": "rest-json",
            "protocols": ["rest-json"],
            "serviceFullName": "Carillon Extensions",
            "serviceId": "Carillon Extensions",
            "signatureVersion": "v4",
            "signingName": interface["signingName"],
            "uid": f"{INTERFACE}-{interface['apiVersion']}",
        },
        "operations": {
            name: {
                "name": name,
                "http": {
                    "method": operation["method"],
                    "requestUri": operation["uri"],
                    "responseCode": operation["status"],
                },
                "input": {"shape": operation["input"]},
                "output": {"shape": operation["output"]},
                "errors": [{"shape": error} for error in operation["errors"]],
                "documentation": operation["documentation"],
            }
            for name, operation in interface["operations"].items()
        },
        "shapes": shapes | {"ErrorText": {"type": "string"}},
    }


def botocore_shape(shape: Described) -> Described:
    made = {key: value for key, value in shape.items() if key not in ("member", "key", "value", "members")}
    for key in ("member", "key", "value"):
        if key in shape:
            made[key] = {"shape": shape[key]}
    if "members" in shape:
        made["members"] = {
            name: {"shape": member["shape"]}
            | ({"location": member["in"], "locationName": member["wire"]} if "in" in member else {})
            for name, member in shape["members"].items()
        }
    return made


def botocore_paginators(interface: Described) -> Described:
    """Of each operation that pages, with the one list of its answer."""
    made = {}
    for name, operation in interface["operations"].items():
        members = interface["shapes"][operation["output"]]["members"]
        lists = [key for key, member in members.items() if interface["shapes"][member["shape"]]["type"] == "list"]
        if "NextToken" in members and len(lists) == 1:
            made[name] = {
                "input_token": "NextToken",
                "output_token": "NextToken",
                "limit_key": "MaxResults",
                "result_key": lists[0],
            }
    return {"pagination": made}


def typescript_module(interface: Described) -> str:
    shapes = interface["shapes"]
    plain = {"string": "string", "integer": "number", "boolean": "boolean", "timestamp": "Date"}

    def named(name: str) -> str:
        shape = shapes[name]
        match shape["type"]:
            case "structure":
                return name
            case "list":
                return f"Array<{named(shape['member'])}>"
            case "map":
                return f"Record<string, {named(shape['value'])}>"
            case "string" if "enum" in shape:
                return " | ".join(json.dumps(value) for value in shape["enum"])
            case other:
                return plain[other]

    lines = ["// Made by spec/helpers.py. Whatever is changed here is lost.", TYPESCRIPT_HEAD]
    for name, shape in shapes.items():
        if shape["type"] == "structure":
            lines.append(f"export interface {name} {{")
            required = shape.get("required", [])
            lines += [
                f"  {member}{'' if member in required else '?'}: {named(of['shape'])};"
                for member, of in shape["members"].items()
            ]
            lines.append("}\n")
    lines.append(f"const SIGNING_NAME = {json.dumps(interface['signingName'])};")
    lines.append(f"const SHAPES: Record<string, any> = {json.dumps(shapes)};")
    operations = {
        name: {key: operation[key] for key in ("method", "uri", "input", "output")}
        for name, operation in interface["operations"].items()
    }
    lines.append(f"const OPERATIONS: Record<string, any> = {json.dumps(operations)};")
    lines.append(TYPESCRIPT_CLIENT)
    for name, operation in interface["operations"].items():
        lines += [
            f"\n  /** {operation['documentation']} */",
            f"  {name[0].lower()}{name[1:]}(input: {operation['input']}): Promise<{operation['output']}> {{",
            f"    return this.call({json.dumps(name)}, input);",
            "  }",
        ]
    lines.append("}")
    return "\n".join(lines) + "\n"


TYPESCRIPT_HEAD = """\
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import type { AwsCredentialIdentity, Provider } from "@smithy/types";

/** Where the server is, and who signs. */
export interface Options {
  endpoint: string;
  region: string;
  credentials: AwsCredentialIdentity | Provider<AwsCredentialIdentity>;
}

/** A refusal: its name is that of the exception. */
export class ExtensionError extends Error {
  constructor(
    readonly name: string,
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}
"""

TYPESCRIPT_CLIENT = """\

/** A value as it travels in a body, or as it comes from there: times are seconds since 1970. */
function convert(shape: any, value: any, time: (value: any) => any): any {
  if (value === undefined || value === null) {
    return undefined;
  }
  switch (shape.type) {
    case "timestamp":
      return time(value);
    case "list":
      return value.map((item: any) => convert(SHAPES[shape.member], item, time));
    case "map":
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, convert(SHAPES[shape.value], item, time)]),
      );
    case "structure":
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => {
          const member = shape.members[key];
          return [key, member ? convert(SHAPES[member.shape], item, time) : item];
        }),
      );
    default:
      return value;
  }
}

const text = (value: any) => (value instanceof Date ? value.toISOString() : String(value));
const encoded = (value: string) =>
  encodeURIComponent(value).replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

/** The operations that the original lacks. */
export class CarillonExtensions {
  private readonly signer: SignatureV4;
  private readonly endpoint: URL;

  constructor({ endpoint, region, credentials }: Options) {
    this.endpoint = new URL(endpoint);
    this.signer = new SignatureV4({ service: SIGNING_NAME, region, credentials, sha256: Sha256 });
  }

  private async call(name: string, input: any): Promise<any> {
    const operation = OPERATIONS[name];
    const [template, marker] = operation.uri.split("?");
    const query: Record<string, string> = marker ? Object.fromEntries([marker.split("=")]) : {};
    const headers: Record<string, string> = { host: this.endpoint.host };
    const body: Record<string, any> = {};
    let path: string = template;
    const members: Record<string, any> = SHAPES[operation.input].members;
    for (const [key, member] of Object.entries(members)) {
      const value = input[key];
      if (value === undefined) {
        continue;
      }
      switch (member.in) {
        case "uri":
          path = path.replace(`{${member.wire}}`, encoded(text(value)));
          break;
        case "querystring":
          query[member.wire] = text(value);
          break;
        case "header":
          headers[member.wire] = text(value);
          break;
        default:
          body[key] = convert(SHAPES[member.shape], value, (time: Date) => time.getTime() / 1000);
      }
    }
    const hasBody = Object.values(members).some((member) => member.in === undefined);
    if (hasBody) {
      headers["content-type"] = "application/json";
    }
    const { protocol, hostname, port } = this.endpoint;
    const signed = await this.signer.sign({
      method: operation.method,
      protocol,
      hostname,
      port: port ? Number(port) : undefined,
      path,
      query,
      headers,
      body: hasBody ? JSON.stringify(body) : undefined,
    });
    // A page may not set it, and need not.
    delete signed.headers.host;
    const pairs = Object.entries(query).map(([key, value]) => `${encoded(key)}=${encoded(value)}`);
    const url = `${this.endpoint.origin}${path}${pairs.length ? `?${pairs.join("&")}` : ""}`;
    const answer = await fetch(url, { method: operation.method, headers: signed.headers, body: signed.body });
    const said = await answer.json();
    if (!answer.ok) {
      const name = answer.headers.get("x-amzn-errortype") ?? `${said.Code}`;
      throw new ExtensionError(name, answer.status, said.Message);
    }
    return convert(SHAPES[operation.output], said, (seconds: number) => new Date(seconds * 1000));
  }"""


def write(folder: Path) -> None:
    interface = json.loads(DESCRIBED.read_text())[INTERFACE]
    model = folder / INTERFACE / interface["apiVersion"]
    model.mkdir(parents=True, exist_ok=True)
    (model / "service-2.json").write_text(json.dumps(botocore_model(interface), indent=1))
    (model / "paginators-1.json").write_text(json.dumps(botocore_paginators(interface), indent=1))
    (folder / "extensions.ts").write_text(typescript_module(interface))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))

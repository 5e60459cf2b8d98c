"""What the binary is made of: a bill of materials in the form of CycloneDX, of all packages that are compiled into it, and of
those that generate code for it. `packages.py` puts it into each package.

    python3 deploy/sbom.py > carillon.cdx.json

The same commit makes the same bytes. Versions, and the digests by which each package was downloaded, are those of
`Cargo.lock`; licences are what each package says of itself.
"""

import json
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME = "carillon"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
# Of our packages, by their commit.
OWN = "pkg:generic/carillon"


def metadata() -> dict[str, Any]:
    """What cargo knows of all packages, for this machine."""
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    target = next(line.removeprefix("host: ") for line in host.splitlines() if line.startswith("host: "))
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def parts(known: dict[str, Any]) -> dict[str, list[str]]:
    """The packages that the binary is made of, each with those that it uses: not those of tests, nor of builds alone."""
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    root = next(package["id"] for package in known["packages"] if package["name"] == NAME)
    found: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        used = [
            edge["pkg"] for edge in nodes[one]["deps"] if any(kind["kind"] is None for kind in edge["dep_kinds"])
        ]
        found[one] = sorted(used)
        waiting += used
    return found


def bill(epoch: int) -> dict[str, Any]:
    known = metadata()
    packages = {package["id"]: package for package in known["packages"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    digests = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    used = parts(known)
    names = {one: name_of(packages[one]) for one in used}
    root = next(one for one in used if packages[one]["name"] == NAME)
    components = [component(packages[one], digests) for one in used if one != root]
    dependencies = [{"ref": names[one], "dependsOn": sorted(names[other] for other in used[one])} for one in used]
    content = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], digests) | {"type": "application"},
        },
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
    }
    # By what it says, so that two are the same number only if they are alike.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{number}", "version": 1}
    return head | content


def name_of(package: dict[str, Any]) -> str:
    if package["source"] == REGISTRY:
        return f"pkg:cargo/{package['name']}@{package['version']}"
    assert package["source"] is None, f"{package['name']} comes from {package['source']}"
    return f"{OWN}@{package['version']}#{package['name']}"


def component(package: dict[str, Any], digests: dict[tuple[str, str], str | None]) -> dict[str, Any]:
    made = {
        "type": "library",
        "bom-ref": name_of(package),
        "name": package["name"],
        "version": package["version"],
        "purl": name_of(package),
    }
    if licence := package["license"]:
        # As packages wrote it before there were expressions.
        made["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if digest := digests[package["name"], package["version"]]:
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def written(epoch: int) -> bytes:
    return (json.dumps(bill(epoch), indent=1) + "\n").encode()


if __name__ == "__main__":
    from packages import epoch

    sys.stdout.buffer.write(written(epoch()))

"""What deploy/ says, held against what the server understands. The chart is linted by helm, which is not at hand here."""

import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from harness.server import binary, environment

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
CHART = DEPLOY / "helm" / "carillon"
GUIDE = DEPLOY.parent / "docs" / "guide"
ENDS_WITHIN_S = 10


def compose() -> dict:
    return yaml.safe_load(COMPOSE.read_text())


def nodes() -> list[dict]:
    return [service for name, service in compose()["services"].items() if name.startswith("carillon-")]


def drain_seconds(configuration: str) -> int:
    return int(re.search(r"drain_seconds = (\d+)", configuration)[1])


def accepted(configuration: str, folder: Path) -> None:
    """A server reads it, and does not find a key that it does not know."""
    path = folder / "carillon.toml"
    path.write_text(configuration)
    options = ["--config", str(path), "--data-dir", str(folder / "data"), "--http", "127.0.0.1:0", "--https", "off"]
    checked = subprocess.run(
        [binary(), "check", *options], env=environment(folder), capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_setting_of_the_environment_is_one():
    said = subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"\[env: (CARILLON_\w+)", said))
    # Those that have no flag, since flags are seen by all.
    known |= {name for name in re.findall(r"`(CARILLON_\w+)`", (GUIDE / "running.md").read_text())}
    used = {name for node in nodes() for name in node["environment"]}
    used |= set(re.findall(r"CARILLON_\w+", (CHART / "templates" / "deployment.yaml").read_text()))
    used |= set(re.findall(r"ENV (CARILLON_\w+)", (DEPLOY / "Dockerfile").read_text()))
    assert {"CARILLON_STORE", "CARILLON_BUS", "CARILLON_MASTER_KEY"} <= used
    assert used <= known, used - known


def test_compose_has_three_nodes_that_are_alike_and_three_servers_of_nats():
    file = compose()
    assert len(nodes()) == 3
    for node in nodes():
        assert node["command"][0] == "serve" and node["environment"] == nodes()[0]["environment"]
        # No secret stands here.
        secrets = {name: value for name, value in node["environment"].items() if "KEY" in name or "STORE" in name}
        assert all("${" in value for value in secrets.values()), secrets
    assert len({str(node["volumes"]) for node in nodes()}) == len({str(node["ports"]) for node in nodes()}) == 3
    bus = nodes()[0]["environment"]["CARILLON_BUS"].removeprefix("nats://").split(",")
    assert len(bus) == 3 and set(bus) <= file["services"].keys()
    waits = {name for node in nodes() for name in node["depends_on"]}
    assert waits <= file["services"].keys()
    grace = int(nodes()[0]["stop_grace_period"].removesuffix("s"))
    assert drain_seconds(file["configs"]["carillon"]["content"]) + ENDS_WITHIN_S <= grace


def test_the_configurations_are_accepted(tmp_path):
    for name, configuration in (("compose", compose()["configs"]["carillon"]["content"]), ("chart", of_chart())):
        (tmp_path / name).mkdir()
        accepted(configuration, tmp_path / name)


def of_chart() -> str:
    """As the chart makes it where nothing more is said."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    template = (CHART / "templates" / "configmap.yaml").read_text().partition("carillon.toml: |\n")[2]
    plain = re.sub(r"\n *\{\{- range.*?\{\{- end \}\}|\n *\{\{- \.Values\.configuration.*", "", template, flags=re.S)
    return re.sub(r"\{\{ \.Values\.(\w+) \}\}", lambda found: str(values[found[1]]), plain).replace("    ", "")


def test_the_chart_waits_for_as_long_as_a_node_drains():
    deployment = (CHART / "templates" / "deployment.yaml").read_text()
    beyond = re.search(r"terminationGracePeriodSeconds: \{\{ add \.Values\.drainSeconds (\d+) \}\}", deployment)
    assert ENDS_WITHIN_S < int(beyond[1])
    assert drain_seconds(of_chart()) == yaml.safe_load((CHART / "values.yaml").read_text())["drainSeconds"]


@pytest.mark.parametrize("probe", ["startup", "liveness", "readiness"])
def test_what_a_probe_asks_is_answered(server, probe):
    deployment = (CHART / "templates" / "deployment.yaml").read_text()
    path = re.search(rf"{probe}Probe:\s.*?path: ([\w/]+)", deployment, flags=re.S)[1]
    with urllib.request.urlopen(server.http_url + path, timeout=10) as answer:
        assert answer.status == 200

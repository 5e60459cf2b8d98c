"""What ships for Prometheus and Grafana: rules that Prometheus takes and that fire when they should, a dashboard of
metrics that are there, and an answer that Prometheus' own linter has nothing to say about."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine import ENGINES
from harness.metrics import SUFFIXES, families
from harness.server import Server
from harness.world import World

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "deploy/prometheus"
RULES = SHIPPED / "alerts.yml"
# Of PostgreSQL, and of servers with certificates by ACME, which nothing else here needs.
OF_SOME = {
    "carillon_store_clock_offset_seconds",
    "carillon_certificate_orders_total",
    "carillon_certificate_not_after_seconds",
}
NAME = re.compile(r"\bcarillon_[a-z_]+")
ALERT = re.compile(r"- alert: (\w+)")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    """What a server answers that has done a little of everything."""
    server = Server(tmp_path_factory.mktemp("server"), ENGINES["sqlite"]()).start()
    try:
        world = World(server)
        ana = world.user("ana")
        world.send(world.channel(ana), ana)
        return server.measured()
    finally:
        server.stop()


def run(*words: str | Path, given: str | None = None) -> str:
    """What Prometheus' own tool says, which must be content."""
    assert shutil.which("promtool"), "run these tests by `cargo xtask test`"
    ended = subprocess.run(["promtool", *words], input=given, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_prometheus_takes_the_rules():
    assert f"{len(ALERT.findall(RULES.read_text()))} rules found" in run("check", "rules", RULES)


def test_alerts_fire_when_they_should():
    run("test", "rules", ROOT / "tests/alerts.yml")


def test_the_linter_of_metrics_has_nothing_to_say(text):
    """It reads the older form, in which the whole name stands before the samples."""
    lines = []
    for line in text.removesuffix("# EOF\n").splitlines():
        if comment := re.match(r"# (HELP|TYPE) (\S+) (.*)", line):
            kind = families(text)[comment[2]].kind
            name = comment[2] + (SUFFIXES[kind][0] if kind in ("counter", "info") else "")
            rest = comment[3].replace("info", "gauge") if comment[1] == "TYPE" else comment[3]
            line = f"# {comment[1]} {name} {rest}"
        lines.append(line)
    assert run("check", "metrics", given="\n".join(lines) + "\n") == ""


def test_the_dashboard_is_what_its_script_writes():
    """`python3 deploy/prometheus/dashboard.py > deploy/prometheus/dashboard.json` makes them the same."""
    written = subprocess.run(
        [sys.executable, SHIPPED / "dashboard.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (SHIPPED / "dashboard.json").read_text() == written


def test_rules_and_dashboard_name_metrics_that_are_there(text):
    there = {
        name + suffix for name, family in families(text).items() for suffix in ["", *SUFFIXES[family.kind]]
    } | OF_SOME
    for path in (RULES, SHIPPED / "dashboard.json"):
        # `carillon_store_…` stands for several.
        named = {name for name in NAME.findall(path.read_text()) if not name.endswith("_")}
        assert named - there == set(), path.name


def test_every_metric_is_drawn(text):
    drawn = set(NAME.findall((SHIPPED / "dashboard.json").read_text()))
    for name, family in families(text).items():
        assert drawn & {name + suffix for suffix in SUFFIXES[family.kind]}, name


def test_every_expression_is_one_of_prometheus(tmp_path):
    """The linter of rules reads those of the dashboard, too, once its variables are there."""
    panels = json.loads((SHIPPED / "dashboard.json").read_text())["panels"]
    drawn = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(drawn) > 50
    rules = [
        {"record": f"carillon:drawn:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(drawn)
    ]
    path = tmp_path / "drawn.yml"
    path.write_text(json.dumps({"groups": [{"name": "drawn", "rules": rules}]}))
    assert f"{len(drawn)} rules found" in run("check", "rules", "--lint=none", path)

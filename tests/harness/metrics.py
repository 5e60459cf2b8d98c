"""Metrics as Prometheus reads them: the text of OpenMetrics, in families of samples."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.server import Server

DEADLINE_S = 30
SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(?P<name>[a-z_]+)="(?P<value>(?:[^"\\]|\\.)*)"')
# What a sample's name has beyond its family's, by the family's type.
SUFFIXES = {
    "counter": ["_total"],
    "gauge": [""],
    "info": ["_info"],
    "histogram": ["_bucket", "_sum", "_count"],
}


@dataclass
class Family:
    """A metric: its samples by the whole text of their names and labels."""

    kind: str
    help: str
    samples: dict[str, float] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)

    @property
    def label_names(self) -> set[str]:
        return set(self.labels) - ({"le"} if self.kind == "histogram" else set())


def families(text: str) -> dict[str, Family]:
    found: dict[str, Family] = {}
    helps: dict[str, str] = {}
    lines = text.splitlines()
    assert lines.pop() == "# EOF"
    for line in lines:
        if line.startswith("# HELP "):
            name, helps_with = line.removeprefix("# HELP ").split(" ", 1)
            helps[name] = helps_with
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert name not in found, f"{name} is there twice"
            found[name] = Family(kind, helps[name])
        else:
            take(found, line)
    return found


def take(found: dict[str, Family], line: str) -> None:
    sample = SAMPLE.match(line)
    assert sample, line
    family = next(
        family
        for name, family in found.items()
        if sample["name"] in [name + suffix for suffix in SUFFIXES[family.kind]]
    )
    family.samples[f"{sample['name']}{{{sample['labels'] or ''}}}"] = float(sample["value"])
    for label in LABEL.finditer(sample["labels"] or ""):
        family.labels.setdefault(label["name"], set()).add(label["value"])


def scrape(server: Server) -> dict[str, Family]:
    return families(server.measured())


def value(server: Server, sample: str) -> float:
    """Of one sample, by its whole name; 0 where it is not there yet."""
    sample = sample if "{" in sample else sample + "{}"
    return next(
        (family.samples[sample] for family in scrape(server).values() if sample in family.samples), 0.0
    )


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.05)

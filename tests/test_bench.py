"""`carillon bench` measures this machine. What it counts is looked at here, never how long anything took."""

import json

import pytest

from harness import commands
from harness.engine import Engine

SECONDS = 1
ROUNDS = 2


def measure(folder, engine: Engine, *words: str) -> dict:
    """Runs a measurement on this engine; answers what it found there."""
    file = folder / "found.json"
    store = engine.new_store() or "sqlite"
    table = commands.done(folder, "bench", *words, "--store", store, "--folder", str(folder), "--json", str(file))
    found = json.loads(file.read_text())
    assert len(found["stores"]) == 1 and found["processors"]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [], "what was made for it is removed"
    return found["stores"][0] | {"table": table}


def workload(folder, engine: Engine, kind: str, sizes: list[int], *words: str) -> list[dict]:
    """One workload at these sizes; answers what was found of each."""
    named = [word for size in sizes for word in ("--size", str(size))]
    rounds = ["--seconds", str(SECONDS), "--rounds", str(ROUNDS), "--connections", "4"]
    found = measure(folder, engine, "workload", kind, *named, *rounds, *words)
    variants = found["variants"]
    assert [variant["size"] for variant in variants] == sizes
    for variant in variants:
        total = variant["total"]
        assert len(variant["rounds"]) == ROUNDS
        assert total["refused"] == {} and total["delivered"] == total["due"], total
        assert total["all"]["count"] == sum(kind["count"] for kind in total["kinds"].values())
        assert total["all"]["count"] == sum(one["all"]["count"] for one in variant["rounds"])
        assert total["resident_kib"] and str(variant["size"]) in found["table"]
    assert variants[0]["ratios"]["per_second"] == 1
    return variants


@pytest.mark.parametrize(
    ("kind", "size", "listeners"), [("one-member", 1, 1), ("fan-out", 7, 7), ("many-channels", 20, 2)]
)
def test_every_send_is_told_to_everybody_who_listens(tmp_path, engine, kind, size, listeners):
    (found,) = workload(tmp_path, engine, kind, [size])
    total = found["total"]
    assert 0 < total["all"]["count"]
    assert total["delivered"] == listeners * total["all"]["count"]
    assert total["told"]["count"] == total["all"]["count"]


def test_a_history_is_read_at_two_sizes_and_found_whole(tmp_path, engine):
    for found in workload(tmp_path, engine, "history", [60, 2_500]):
        assert found["total"]["kinds"].keys() == {"status", "message", "latest 50", "deep page"}


def test_people_in_few_and_in_many_channels_list_and_search_them(tmp_path, engine):
    for found in workload(tmp_path, engine, "belonging", [3, 120], "--apart"):
        kinds = {"list", "list 10", "search own", "search own 10", "search pair", "search two busy"}
        assert all(one["kinds"].keys() == kinds for one in found["rounds"])
        # Each kind has its own part of a round.
        assert found["total"]["seconds"] >= SECONDS * ROUNDS * len(kinds)


def test_a_scene_can_be_made_through_the_interface(tmp_path, engine):
    for found in workload(tmp_path, engine, "history", [5, 55], "--by-wire"):
        assert all(kind["count"] for kind in found["total"]["kinds"].values())


def test_a_day_has_as_many_calls_as_its_rate_says(tmp_path, engine):
    (found,) = workload(tmp_path, engine, "company", [20], "--rate", "60")
    total = found["total"]
    assert total["all"]["count"] == 60 * SECONDS * ROUNDS
    assert {"send", "latest 50", "my channels", "read marker"} <= total["kinds"].keys()
    assert total["kinds"]["send"]["count"] < total["delivered"]


def test_binaries_are_measured_in_turns(tmp_path, engine):
    binary = commands.binary()
    words = ("--binary", binary, "--binary", binary, "--closed")
    rounds = ["--seconds", str(SECONDS), "--rounds", "1", "--size", "1"]
    found = measure(tmp_path, engine, "workload", "one-member", *rounds, *words)
    assert [variant["binary"] for variant in found["variants"]] == [binary, binary]
    assert all(variant["ratios"]["all"]["p99"] for variant in found["variants"])


def test_a_full_store_starts_and_takes_a_message(tmp_path, engine):
    words = ("--size", "0", "--size", "50", "--messages-each", "3", "--rounds", "1")
    found = measure(tmp_path, engine, "start", *words)
    assert [(one["channels"], one["messages"]) for one in found["variants"]] == [(0, 0), (50, 150)]
    assert all(len(one["rounds"]) == 1 for one in found["variants"])


def test_all_come_back(tmp_path, engine):
    words = ("--sockets", "120", "--seconds", str(SECONDS), "--rounds", "1", "--rate", "50")
    found = measure(tmp_path, engine, "return", *words)
    (variant,) = found["variants"]
    assert [one["established"] for one in variant["rounds"]] == [120]
    assert variant["before"]["count"] == 50 * SECONDS and len(found["bare_s"]) == 1


def test_what_cannot_be_measured_is_refused(tmp_path):
    words = ("bench", "workload", "one-member", "--binary", str(tmp_path / "nothing"), "--folder", str(tmp_path))
    assert "cannot be started" in commands.refused(tmp_path, *words)
    assert commands.run(tmp_path, "bench", "workload", "nothing").returncode == 2

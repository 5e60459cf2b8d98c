"""What a node had begun that is stopped is done by another, and what it does when it wakes up harms nobody."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from harness.cluster import Cluster
from harness.engine import deadlocks, psql_value
from harness.filling import fill
from harness.nats import Nats
from harness.world import World

# What is promised, and what a busy machine of tests adds.
TAKEN_UP_WITHIN_S = 15 + 5
DESTROYED_WITHIN_S = 120
FOLLOWS_WITHIN_S = 10
CHANNELS = 6_000


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    with Nats(tmp_path) as nats:
        cluster = Cluster(tmp_path, nats.url, 2)
        for node in cluster.nodes:
            node.flags = (*node.flags, "--test-clock")
        with cluster:
            yield cluster


def wait_until(condition: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


def test_the_job_of_a_node_that_is_stopped_is_done_by_another(cluster):
    first, second = cluster.nodes
    world = World(first)
    fill(first, [world.app_instance], CHANNELS)
    before = deadlocks(cluster.store)

    def owner() -> str:
        return psql_value(cluster.store, "SELECT encode(owner, 'hex') FROM lease WHERE name = 'destroy'")

    def left() -> int:
        return int(psql_value(cluster.store, "SELECT count(*) FROM channel"))

    first.identity.delete_app_instance(AppInstanceArn=world.app_instance)
    wait_until(lambda: owner() != "", DESTROYED_WITHIN_S)
    stopped = owner()
    first.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: owner() not in ("", stopped), TAKEN_UP_WITHIN_S)
        assert left() > 0
    finally:
        first.process.send_signal(signal.SIGCONT)
    wait_until(lambda: left() == 0, DESTROYED_WITHIN_S)
    for node in (first, second):
        assert World(node).user("ana")
    assert deadlocks(cluster.store) == before


def test_the_clock_of_one_node_moves_that_of_the_others(cluster):
    first, second = cluster.nodes
    first.advance(timedelta(days=10))

    def is_ahead() -> bool:
        made = second.identity.describe_app_instance(AppInstanceArn=World(second).app_instance)["AppInstance"]
        return made["CreatedTimestamp"] - datetime.now(UTC) > timedelta(days=9)

    wait_until(is_ahead, FOLLOWS_WITHIN_S)
    second.advance(timedelta(days=1))
    made = second.identity.describe_app_instance(AppInstanceArn=World(second).app_instance)["AppInstance"]
    assert made["CreatedTimestamp"] - datetime.now(UTC) > timedelta(days=10)

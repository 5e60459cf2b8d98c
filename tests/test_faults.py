"""The short form of `load/faults.py`: three nodes of one cluster under load, and each fault once; and what only shows where
nothing comes after."""

import subprocess
import sys
from pathlib import Path

from harness.cluster import Cluster
from harness.nats import Nats
from harness.proxy import Proxy
from harness.server import binary
from harness.session import Session
from harness.world import World

FAULTS = Path(__file__).parent / "load" / "faults.py"
TIMEOUT_S = 300
# What a node that died left is told by others within ten seconds, and a busy machine of tests adds some.
TOLD_WITHIN_S = 20


def run(*flags: str) -> str:
    assert binary()
    ended = subprocess.run(
        [sys.executable, FAULTS, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_whatever_happens_to_a_cluster_nobody_is_told_wrong_and_nothing_is_lost():
    said = run("--rounds", "1", "--brief")
    assert "| faults: kill -9 of a node | 1 |" in said and "| violations | 0 |" in said


def test_nodes_that_are_restarted_in_order_fail_no_call():
    said = run("--rounds", "0", "--seconds", "5", "--rolling", "1")
    assert "| rolling: failures | 0 |" in said


def test_the_last_that_a_node_committed_which_died_without_its_bus_is_told_by_others(tmp_path):
    with Nats(tmp_path) as nats, Proxy(nats.url) as proxy:
        cluster = Cluster(tmp_path, nats.url, 2)
        one, two = cluster.nodes
        one.flags = ("--bus", proxy.url)
        with cluster:
            world = World(one)
            ana, bob = world.users("ana", "bob")
            lobby = world.channel(ana, bob)
            with Session.established(two, bob) as session:
                proxy.go_silent()
                sent = world.send(lobby, ana)["MessageId"]
                # Nearly always before it has said so in the store, where it says so each second.
                one.kill()
                event = session.next(TOLD_WITHIN_S)
                assert (event.kind, event.payload["MessageId"]) == ("CREATE_CHANNEL_MESSAGE", sent)

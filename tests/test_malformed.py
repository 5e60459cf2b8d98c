"""Malformed requests: each is answered in the protocol's own form or its connection closed, and nothing breaks.

What is sent here are the first of a seed; `load/malformed.py` sends as many as one likes.
"""

from harness.raw import Connection
from harness.unruly import send_all

SEED = 18
COUNT = 500


def test_malformed_requests_break_nothing(server):
    unruly = send_all(server, SEED, COUNT)
    print(unruly)
    assert not unruly.wrong, f"{unruly}\n" + "\n".join(unruly.wrong[:10])
    # Most were understood so far that something was said of them, and some were no worse than before.
    assert {"200", "400", "403"} <= unruly.answers.keys()
    with Connection(server) as signed:
        assert signed.call("GET", "/endpoints/messaging-session").status == 200

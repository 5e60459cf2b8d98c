"""Lanes, seen from PostgreSQL: who waits for whom, and what a job reads. SQLite has one writer, and counts nothing."""

from datetime import timedelta

from harness.engine import Postgres, psql_value
from harness.filling import fill
from harness.server import Server
from harness.toggles import Toggles
from harness.world import World

LOAD_S = 5
CHANNELS = 20_000
# More than the jobs of a fresh server need, and much less than there are.
READ_MAX = CHANNELS // 10


def test_memberships_of_the_same_people_in_many_channels_never_deadlock(tmp_path):
    server = Server(tmp_path, Postgres()).start()
    found = Toggles(server).run(LOAD_S)
    server.stop()
    assert (found["deadlocks"], found["hangs"]) == (0, 0), found
    assert found["answers"].keys() <= {201, 204, 403, 404, 409}, found
    assert found["answers"][201] and found["bystander_sends"], found


def test_no_job_goes_through_all_channels(tmp_path):
    server = Server(tmp_path, Postgres(), "--test-clock").start()
    world = World(server)
    ana = world.user("ana")
    world.channel(ana)
    fill(server, [world.app_instance], CHANNELS)
    statement = (
        "SELECT seq_tup_read + COALESCE(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'channel'"
    )
    server.stop()
    before = int(psql_value(server.store, statement))
    server.start()
    server.advance(timedelta(hours=2))
    server.stop()  # What a connection did is counted at its end at the latest.
    assert int(psql_value(server.store, statement)) - before < READ_MAX

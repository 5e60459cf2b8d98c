"""A clock that is not the store's: refused at the start, and said while the server runs."""

import re
import time
from collections.abc import Callable

import pytest

from harness.engine import Postgres, Sqlite, psql
from harness.server import Server
from test_starting import listeners, refusal, start_and_end

SEEN_WITHIN_S = 60
METRIC = "carillon_store_clock_offset_seconds"


def keep_time(store: str, ahead: str) -> None:
    """Has PostgreSQL's clock be so far ahead, for whoever connects to this database."""
    psql(
        store,
        f"""CREATE SCHEMA IF NOT EXISTS ahead;
            CREATE OR REPLACE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
              AS $$ SELECT pg_catalog.clock_timestamp() + interval '{ahead}' $$;
            ALTER DATABASE {store.rpartition("/")[2]} SET search_path = ahead, pg_catalog, public""",
    )


@pytest.fixture
def store() -> str:
    made = Postgres().new_store()
    assert made is not None
    return made


@pytest.mark.parametrize(("ahead", "side"), [("1 hour", "behind"), ("-1 hour", "ahead of")])
def test_a_clock_that_is_not_the_stores_is_refused(tmp_path, store, ahead, side):
    keep_time(store, ahead)
    # How far tests have moved the service's time is no matter.
    for flags in ([], ["--test-clock"]):
        words = ["serve", "--data-dir", str(tmp_path / "data"), "--store", store, *flags, *listeners()]
        said = refusal(start_and_end(tmp_path, *words))
        assert re.search(rf"the clock of this machine is (3599|3600)\.\d s {side} that of the store", said), said


def test_a_clock_that_goes_wrong_is_said_and_measured(tmp_path, store):
    keep_time(store, "0")
    server = Server(tmp_path, Postgres())
    server.store = store
    server.start()
    try:
        await_that(lambda: abs(offset(server)) < 2)
        keep_time(store, "1 hour")
        await_that(lambda: "s behind that of the store" in server.log.read_text())
        assert 3_590 < offset(server) < 3_610
        assert "the store again" not in server.log.read_text()
        keep_time(store, "0")
        await_that(lambda: "that of the store again" in server.log.read_text())
        assert abs(offset(server)) < 10
    finally:
        server.stop()


def test_a_store_in_a_file_has_no_clock_of_its_own(tmp_path):
    with_file = Server(tmp_path, Sqlite())
    with_file.start()
    try:
        assert METRIC not in with_file.measured()
    finally:
        with_file.stop()


def offset(server: Server) -> float:
    """What is measured; as far as can be, before that."""
    found = re.search(rf"^{METRIC} (\S+)$", server.measured(), re.MULTILINE)
    return float(found[1]) if found else float("inf")


def await_that(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SEEN_WITHIN_S
    while not holds():
        assert time.monotonic() < until, "it does not come about"
        time.sleep(0.1)

"""Rows written straight into a store, beside a server: for what would take too long to make through the API."""

import os

from harness.engine import outsider, psql
from harness.server import Server

COLUMNS = (
    "key, app_instance, id, name, mode, privacy, created_by, created_at, updated_at, sequence, clock, member_count"
)


def key_of(arn: str) -> bytes:
    return bytes.fromhex(arn.rpartition("/")[2].replace("-", ""))


def fill(server: Server, instances: list[str], count: int) -> None:
    if server.store is None:
        with outsider(server.data_dir / "carillon.db") as database:
            database.execute("PRAGMA cache_size = -500000")
            keys = [key_of(arn) for arn in instances]
            rows = ((os.urandom(16), keys[at % len(keys)], f"c{at:07}", os.urandom(16)) for at in range(count))
            values = "?, ?, ?, 'Lobby', 'RESTRICTED', 'PRIVATE', ?, 0, 0, 0, 0, 0"
            database.executemany(f"INSERT INTO channel ({COLUMNS}) VALUES ({values})", rows)
        return
    for at, arn in enumerate(instances):
        key = f"'\\x{key_of(arn).hex()}'::bytea"
        values = (
            f"SELECT uuid_send(gen_random_uuid()), {key}, 'c' || lpad(n::text, 7, '0'), 'Lobby', 'RESTRICTED',"
            f" 'PRIVATE', uuid_send(gen_random_uuid()), 0, 0, 0, 0, 0"
            f" FROM generate_series({at}, {count - 1}, {len(instances)}) n"
        )
        psql(server.store, f"INSERT INTO channel ({COLUMNS}) {values}")
    psql(server.store, "CHECKPOINT")


def destroy_from_now(server: Server) -> None:
    """Where messages are kept for some time only, the grace of those that are older is over."""
    statement = "UPDATE app_instance SET retention_destroys_at = 0 WHERE retention_days IS NOT NULL"
    if server.store is not None:
        psql(server.store, statement)
        return
    with outsider(server.data_dir / "carillon.db") as database:
        database.execute(statement)

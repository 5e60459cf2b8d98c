"""Streams into a Kinesis that is away for a minute under load, and a server that is killed amid 10,000 records. Not part
of CI, which has the short form.

    CARILLON_BIN=… CARILLON_TEST_POSTGRES=… CARILLON_TEST_PSQL=… python load/streams.py [--engine sqlite]

Afterwards everything that was acknowledged must be in the stream, in the order of its channel.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.engine import ENGINES
from harness.kinesis import Kinesis
from harness.proxy import Proxy
from harness.sends import Sends, said_in
from harness.server import Server
from harness.streams import STREAM, stream_to
from harness.world import World

CHANNELS = 20
THREADS = 8
AWAY_S = 60
RECORDS = 10_000
KILL_EVERY_S = 5
WAIT_S = 300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=sorted(ENGINES), default="sqlite")
    engine = ENGINES[parser.parse_args().engine]()
    with tempfile.TemporaryDirectory() as name, Kinesis(Path(name)) as kinesis, Proxy(kinesis.url) as proxy:
        server = Server(Path(name), engine, **kinesis.environment(proxy.url)).start()
        try:
            world = World(server)
            [ana] = world.users("ana")
            stream_to(world, STREAM, "ChannelMessage")
            channels = [world.channel(ana) for _ in range(CHANNELS)]
            with Sends(world, ana, channels, THREADS) as sends:
                time.sleep(2)
                proxy.refuse()
                time.sleep(AWAY_S)
                proxy.come_back()
                away = sends.count
                while sends.count < away + RECORDS:
                    time.sleep(KILL_EVERY_S)
                    server.kill()
                    server.start()
            begun = time.monotonic()
            while wrong := sends.missing(said_in(kinesis.records())):
                if begun + WAIT_S < time.monotonic():
                    print("FAILED", *wrong[:20], sep="\n  ")
                    sys.exit(1)
                time.sleep(0.5)
            print(f"{engine.name}: {away} sent by the end of {AWAY_S} s away, {sends.count} in all: none missing, in order")
        finally:
            server.kill()


if __name__ == "__main__":
    main()

"""A disk that loses what was not flushed when its power is cut: what it holds then, made of what `load/lying_disk.rs` has
noted of a server that was killed."""

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "load" / "lying_disk.rs"
SECTOR_BYTES = 512
HEAD = struct.Struct("<BQQQ")
WRITE, CUT, SYNC, OPEN, UNLINK, RENAME = range(1, 7)
PRIVATE = 0o600


def build(folder: Path) -> Path:
    """The library to be loaded before the server's own."""
    library = folder / "lying_disk.so"
    options = ["--edition", "2024", "--crate-type", "cdylib", "-C", "opt-level=2", "-A", "warnings"]
    built = subprocess.run(["rustc", *options, "-o", library, SOURCE], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return library


@dataclass
class File:
    """What is on the disk, and what was done since the last flush, in order: bytes at a place, or a new length."""

    flushed: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self) -> None:
        for place, data in self.waiting:
            put(self.flushed, place, data)
        self.waiting.clear()

    def torn(self, dice: random.Random, part: float) -> bytes:
        """As much of what was not flushed is there, by sectors, in any order."""
        content = bytearray(self.flushed)
        for place, data in self.waiting:
            if data is None:
                if dice.random() < part:
                    put(content, place, None)
                continue
            for start, sector in sectors(place, data):
                if dice.random() < part:
                    put(content, start, sector)
        return bytes(content)


def put(content: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        if place < len(content):
            del content[place:]
        data = b""
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    content[place : place + len(data)] = data


def sectors(place: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    end = place + len(data)
    start = place
    while start < end:
        following = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield start, data[start - place : following - place]
        start = following


class LyingDisk:
    """The folder of one server after the other."""

    def __init__(self, root: Path, log: Path, library: Path):
        self.root, self.log, self.lies = root, log, False
        self.environment = {"LD_PRELOAD": str(library), "LYING_DISK_ROOT": str(root), "LYING_DISK_LOG": str(log)}
        self.lost_bytes = 0

    def lie(self) -> None:
        """From the next start on no flush counts, and a cut loses all that came after that start."""
        self.lies = True
        self.environment["LYING_DISK_LIES"] = "1"

    def begin(self) -> None:
        """What is there now is on the disk."""
        self.log.unlink(missing_ok=True)
        self.files: dict[int, File] = {}
        self.by_inode: dict[int, int] = {}
        self.folders: dict[int, str] = {}
        self.names: dict[str, int] = {}
        self.waiting_names: list[tuple] = []
        for path in self.root.rglob("*"):
            if path.is_file():
                self.names[str(path)] = self.add(path.stat().st_ino, path.read_bytes())
        self.live = dict(self.names)

    def add(self, inode: int, content: bytes = b"") -> int:
        """A file, by a number of its own: those of the system are used again."""
        number = len(self.files)
        self.files[number] = File(bytearray(content))
        self.by_inode[inode] = number
        return number

    def cut(self, dice: random.Random) -> None:
        """The power was cut: the folder becomes what the disk has kept."""
        for kind, inode, place, rest in records(self.log):
            self.replay(kind, inode, place, rest)
        names = dict(self.names)
        for what in self.waiting_names[: 0 if self.lies else dice.randint(0, len(self.waiting_names))]:
            rename(names, what)
        there = {str(path): path.stat().st_mode & 0o777 for path in self.root.rglob("*") if path.is_file()}
        for path in there:
            Path(path).unlink()
        for path, number in names.items():
            file = self.files[number]
            part = 0.0 if self.lies else dice.choice([0.0, 0.3, 0.7, 1.0])
            content = file.torn(dice, part)
            if path.endswith("-shm"):
                # It is written by way of memory, and never flushed: anything may be there.
                content = dice.randbytes(len(content))
            self.lost_bytes += sum(len(data or b"") for _, data in file.waiting)
            Path(path).parent.mkdir(0o700, parents=True, exist_ok=True)
            Path(path).write_bytes(content)
            Path(path).chmod(there.get(path, PRIVATE))

    def replay(self, kind: int, inode: int, place: int, rest: bytes) -> None:
        if kind == OPEN:
            path = rest.decode()
            if place:
                self.folders[inode] = path
            elif path not in self.live:
                self.live[path] = self.add(inode)
                self.waiting_names.append(("link", path, self.live[path]))
        elif kind == UNLINK:
            self.live.pop(rest.decode(), None)
            self.waiting_names.append(("unlink", rest.decode()))
        elif kind == RENAME:
            what = ("rename", *rest.decode().split("\0"))
            rename(self.live, what)
            self.waiting_names.append(what)
        elif kind == SYNC and inode in self.folders:
            self.flush_names(self.folders[inode])
        elif inode in self.by_inode:
            file = self.files[self.by_inode[inode]]
            if kind == SYNC:
                file.flush()
            else:
                file.waiting.append((place, rest if kind == WRITE else None))

    def flush_names(self, folder: str) -> None:
        rest = []
        for what in self.waiting_names:
            if str(Path(what[-1] if what[0] == "rename" else what[1]).parent) == folder:
                rename(self.names, what)
            else:
                rest.append(what)
        self.waiting_names = rest


def rename(names: dict[str, int], what: tuple) -> None:
    match what:
        case ("link", path, number):
            names[path] = number
        case ("unlink", path):
            names.pop(path, None)
        case ("rename", before, after):
            if before in names:
                names[after] = names.pop(before)


def records(log: Path) -> Iterator[tuple[int, int, int, bytes]]:
    """What was noted; the last of it may be cut off."""
    noted = log.read_bytes() if log.exists() else b""
    at = 0
    while at + HEAD.size <= len(noted):
        kind, inode, place, length = HEAD.unpack_from(noted, at)
        at += HEAD.size
        if len(noted) < at + length:
            return
        yield kind, inode, place, noted[at : at + length]
        at += length

"""The forms in which the binary is handed out: each is unpacked as its users do, and the server in it runs."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from harness.server import binary, environment, free_ports, wait_until_ready

SCRIPT = Path(__file__).parent.parent / "deploy" / "packages.py"
PACK_TIMEOUT_S = 300
BILL = "carillon.cdx.json"


def pack(folder: Path) -> dict[str, Path]:
    """The packages by the end of their names."""
    subprocess.run([sys.executable, SCRIPT, binary(), folder], check=True, timeout=PACK_TIMEOUT_S)
    made = {path.name.rpartition(".")[2]: path for path in folder.iterdir()}
    assert set(made) == {"gz", "deb", "whl", "tar"}
    return made


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    return pack(tmp_path_factory.mktemp("packages"))


def version() -> str:
    return subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout


def runs(folder: Path, *command: str | Path, data_dir: Path | str | None = None, **options) -> None:
    """A server that is started by this is ready, and ends when it is told to."""
    http, https = free_ports(2)
    ports = ["--http", f"127.0.0.1:{http}", "--https", f"127.0.0.1:{https}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *ports, "--data-dir", data_dir or folder / "data"],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
            **options,
        )
    try:
        wait_until_ready(http, process)
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/_carillon/health/ready") as answer:
            assert json.load(answer) == {"status": "ready"}
    finally:
        process.terminate()
        code = process.wait(20)
    assert code == 0, (folder / "log").read_text()


def test_the_archive_holds_what_runs_it(packages, tmp_path):
    with tarfile.open(packages["gz"]) as packed:
        packed.extractall(tmp_path, filter="data")
    [root] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert {"LICENSE", "docs/running.md", "docs/README.md", "deploy/systemd/carillon.service"} <= {
        str(path.relative_to(root)) for path in root.rglob("*")
    }
    runs(tmp_path, root / "carillon", "serve")


def test_the_debian_package_is_a_service(packages, tmp_path):
    def field(name: str) -> str:
        command = ["dpkg-deb", "--field", packages["deb"], name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert (field("Package"), field("Version")) == ("carillon", version().split()[1])
    assert field("Depends").startswith("libc6 (>= 2.")
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", packages["deb"], root], check=True)
    service = (root / "usr/lib/systemd/system/carillon.service").read_text()
    assert "ExecStart=/usr/bin/carillon serve" in service
    documentation = service.partition("Documentation=file:/")[2].partition("\n")[0]
    assert (root / documentation).is_file()
    runs(tmp_path, root / "usr/bin/carillon", "serve")


def test_the_wheel_gives_the_command_to_a_fresh_environment(packages, tmp_path):
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", packages["whl"]]
    subprocess.run([home / "bin/python", *install], check=True, timeout=PACK_TIMEOUT_S)
    said = subprocess.run([home / "bin/carillon", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == version()
    runs(tmp_path, home / "bin/carillon", "dev")
    listed = subprocess.run([home / "bin/python", "-m", "pip", "show", "--files", "carillon"], capture_output=True, text=True)
    assert "bin/carillon" in listed.stdout


class Image:
    """The layout of OCI, read as its specification says it is."""

    def __init__(self, path: Path):
        with tarfile.open(path) as packed:
            self.files = {entry.name: packed.extractfile(entry).read() for entry in packed if entry.isfile()}
        assert json.loads(self.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
        [named] = json.loads(self.files["index.json"])["manifests"]
        self.manifest = json.loads(self.blob(named))
        self.configuration = json.loads(self.blob(self.manifest["config"]))

    def blob(self, named: dict) -> bytes:
        kind, _, digest = named["digest"].partition(":")
        content = self.files[f"blobs/{kind}/{digest}"]
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, named["size"])
        return content

    def unpack(self, root: Path) -> None:
        layers = [gzip.decompress(self.blob(layer)) for layer in self.manifest["layers"]]
        digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        assert digests == self.configuration["rootfs"]["diff_ids"]
        for layer in layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as packed:
                packed.extractall(root, filter="tar")


def test_the_image_needs_nothing_below_it(packages, tmp_path):
    image, root = Image(packages["tar"]), tmp_path / "root"
    image.unpack(root)
    settings = image.configuration["config"]
    assert (settings["Entrypoint"], settings["Cmd"]) == (["/usr/bin/carillon"], ["serve"])
    user, _, group = settings["User"].partition(":")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.blob(image.manifest["layers"][0])))) as layer:
        home = layer.getmember("var/lib/carillon")
        assert (home.uid, home.gid, home.mode) == (int(user), int(group), 0o700)
    if os.geteuid() != 0:
        pytest.skip("only root may enter another root")
    os.chown(root / "var/lib/carillon", int(user), int(group))
    enter = ["chroot", f"--userspec={settings['User']}", root, *settings["Entrypoint"], *settings["Cmd"]]
    runs(tmp_path, *enter, data_dir="/var/lib/carillon")


def bills(packages: dict[str, Path], folder: Path) -> list[bytes]:
    """What each package says it is made of."""
    with tarfile.open(packages["gz"]) as packed:
        [archived] = [packed.extractfile(one).read() for one in packed if one.name.endswith(BILL)]
    subprocess.run(["dpkg-deb", "--extract", packages["deb"], folder / "deb"], check=True)
    with zipfile.ZipFile(packages["whl"]) as packed:
        [wheeled] = [packed.read(name) for name in packed.namelist() if name.endswith(f".dist-info/sboms/{BILL}")]
    Image(packages["tar"]).unpack(folder / "image")
    place = f"usr/share/doc/carillon/{BILL}"
    return [archived, (folder / "deb" / place).read_bytes(), wheeled, (folder / "image" / place).read_bytes()]


def test_every_package_says_what_it_is_made_of(packages, tmp_path):
    bill, *others = bills(packages, tmp_path)
    assert others == [bill] * 3
    said = json.loads(bill)
    assert (said["bomFormat"], said["metadata"]["component"]["version"]) == ("CycloneDX", version().split()[1])
    lock = tomllib.loads((SCRIPT.parent.parent / "Cargo.lock").read_text())
    locked = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    components = {one["name"]: one for one in said["components"]}
    assert {"libsqlite3-sys", "aws-lc-sys", "tokio", "hyper", "carillon-store"} <= components.keys()
    # What only tests, the tasks of developers and measurements beside peers use.
    assert not {"proptest", "insta", "xtask", "carillon-peers"} & components.keys()
    for one in said["components"]:
        assert one["licenses"][0]["expression"], one
        digest = locked[one["name"], one["version"]]
        assert one.get("hashes") == (digest and [{"alg": "SHA-256", "content": digest}]), one
    refs = {said["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in said["components"])}
    assert refs == {one["ref"] for one in said["dependencies"]}
    assert all(refs >= set(one["dependsOn"]) for one in said["dependencies"])


def test_one_binary_makes_the_same_packages_each_time(packages, tmp_path):
    again = pack(tmp_path)
    for kind, path in packages.items():
        assert (again[kind].name, again[kind].read_bytes()) == (path.name, path.read_bytes())

"""Packs one built binary in every form in which it is handed out: an archive, a Debian package, a Python wheel, and an
image of the Open Container Initiative. `cargo xtask dist` builds the binary, and runs this.

    python3 deploy/packages.py BINARY FOLDER

The same binary and the same commit make the same bytes: times are those of the commit (SOURCE_DATE_EPOCH), owners are
root, names are in order. Nothing but Python and cargo, and `dpkg-deb` for the Debian package. Each says what it is made of
(`sbom.py`).

The image has no distribution below it: the binary, the libraries that it is linked to, as this machine has them, the
system's certificate authorities, and a user. There is no shell in it.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import sbom

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = "Messaging that speaks the protocol of Amazon Chime SDK Messaging"
HOMEPAGE_LINES = "Unmodified AWS SDKs, the AWS CLI and amazon-chime-sdk-js work against it, with another endpoint."
# Debian's and the image's names of processors.
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
# Whoever runs in the image; deploy/helm and deploy/compose say the same.
USER = 65532
# What it is made of.
BILL = "carillon.cdx.json"
SCRIPTS = ("packages.py", "sbom.py", "order.py")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Tree:
    """Files by their places, as they stand once they are unpacked."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self.folders: dict[str, tuple[int, int]] = {}

    def add(self, place: str, content: bytes | Path, mode: int = 0o644) -> None:
        self.files[place] = (content if isinstance(content, bytes) else content.read_bytes(), mode)

    def tar(self, prefix: str = "") -> bytes:
        """Uncompressed, and the same bytes each time."""
        folders = {str(parent): (0o755, 0) for place in self.files for parent in Path(place).parents} | self.folders
        folders.pop(".", None)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for place, (mode, owner) in sorted(folders.items()):
                self.put(tar, prefix + place, mode, owner)
            for place, (content, mode) in sorted(self.files.items()):
                self.put(tar, prefix + place, mode, 0, content)
        return packed.getvalue()

    @staticmethod
    def put(tar: tarfile.TarFile, place: str, mode: int, owner: int, content: bytes | None = None) -> None:
        entry = tarfile.TarInfo(place)
        entry.mode, entry.mtime, entry.uid, entry.gid = mode, epoch(), owner, owner
        if content is None:
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        else:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def epoch() -> int:
    """When the commit was made, of which this is the binary."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(said.stdout)


@cache
def bill() -> bytes:
    return sbom.written(epoch())


def version_of(binary: Path) -> str:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def glibc_of(binary: bytes) -> tuple[int, int]:
    """The C library that it needs at least: the newest version that it asks for by name."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", binary)
    return max((int(major), int(minor)) for major, minor in found)


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def documents(place: str) -> dict[str, Path]:
    guide = sorted((ROOT / "docs" / "guide").glob("*.md"))
    return {f"{place}/{path.name}": path for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *guide]}


def archive(binary: Path, folder: Path) -> Path:
    """To be unpacked anywhere: the binary, the guide, and what runs it."""
    tree = Tree()
    tree.add("carillon", binary, 0o755)
    tree.add("LICENSE", ROOT / "LICENSE")
    tree.add(BILL, bill())
    for place, path in documents("docs").items():
        tree.add(place, path)
    for path in sorted((ROOT / "deploy").rglob("*")):
        if path.is_file() and path.name not in SCRIPTS and "__pycache__" not in path.parts:
            tree.add(str(path.relative_to(ROOT)), path)
    name = f"carillon-{version_of(binary)}-{platform.machine()}-linux-gnu"
    target = folder / f"{name}.tar.gz"
    target.write_bytes(gzipped(tree.tar(f"{name}/")))
    return target


def debian(binary: Path, folder: Path) -> Path:
    """A service of systemd, which is not started before there is a configuration."""
    version, processor = version_of(binary), PROCESSORS[platform.machine()]
    major, minor = glibc_of(binary.read_bytes())
    control = f"""Package: carillon
Version: {version}
Architecture: {processor}
Maintainer: The Carillon founders <founders@carillon.invalid>
Section: net
Priority: optional
Depends: libc6 (>= {major}.{minor}), libgcc-s1
Recommends: ca-certificates
Description: {SUMMARY}
 {HOMEPAGE_LINES}
"""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        files = {
            "usr/bin/carillon": binary,
            "usr/lib/systemd/system/carillon.service": ROOT / "deploy" / "systemd" / "carillon.service",
            "usr/share/doc/carillon/copyright": ROOT / "LICENSE",
        }
        for place, path in (files | documents("usr/share/doc/carillon")).items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / place)
        (root / "usr/share/doc/carillon" / BILL).write_bytes(bill())
        (root / "usr/bin/carillon").chmod(0o755)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(control)
        for path in [root, *root.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        target = folder / f"carillon_{version}_{processor}.deb"
        command = ["dpkg-deb", "--build", "--root-owner-group", "-Zzstd", root, target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch())})
    return target


def wheel(binary: Path, folder: Path) -> Path:
    """`pip install` gives the command, and no module."""
    version, content = version_of(binary), binary.read_bytes()
    major, minor = glibc_of(content)
    tag = f"py3-none-manylinux_{major}_{minor}_{platform.machine()}"
    info = f"carillon-{version}.dist-info"
    readme = (ROOT / "README.md").read_text()
    files = {
        f"carillon-{version}.data/scripts/carillon": (content, 0o755),
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: carillon\nVersion: {version}\nSummary: {SUMMARY}\n"
            f"License: Apache-2.0\nDescription-Content-Type: text/markdown\n\n{readme}".encode(),
            0o644,
        ),
        f"{info}/WHEEL": (f"Wheel-Version: 1.0\nGenerator: carillon\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644),
        f"{info}/LICENSE": ((ROOT / "LICENSE").read_bytes(), 0o644),
        f"{info}/sboms/{BILL}": (bill(), 0o644),
    }
    lines = [f"{name},{digest_of(content)},{len(content)}" for name, (content, _) in files.items()]
    record = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    target = folder / f"carillon-{version}-{tag}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, (content, mode) in (files | {f"{info}/RECORD": (record, 0o644)}).items():
            entry = zipfile.ZipInfo(name)  # Whose time is the first that the format knows.
            entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
            packed.writestr(entry, content)
    return target


def digest_of(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def libraries_of(binary: Path) -> list[Path]:
    """What the binary is linked to, the loader among it, as this machine has it."""
    said = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    return [Path(found) for found in re.findall(r"(?:=> )?(/\S+) \(0x", said)]


def image(binary: Path, folder: Path) -> Path:
    """An archive in the layout of OCI: `podman load`, `skopeo copy oci-archive:…`, and what reads it."""
    version, tree = version_of(binary), Tree()
    tree.add("usr/bin/carillon", binary, 0o755)
    for library in libraries_of(binary):
        tree.add(str(library).lstrip("/"), library.resolve(), 0o755)
    if AUTHORITIES.exists():
        tree.add(str(AUTHORITIES).lstrip("/"), AUTHORITIES)
    tree.add(f"usr/share/doc/carillon/{BILL}", bill())
    tree.add("etc/passwd", f"carillon:x:{USER}:{USER}::/var/lib/carillon:/sbin/nologin\n".encode())
    tree.add("etc/group", f"carillon:x:{USER}:\n".encode())
    tree.folders |= {"var/lib/carillon": (0o700, USER), "tmp": (0o1777, 0)}
    layer = tree.tar()
    packed = gzipped(layer)
    configuration = {
        "architecture": PROCESSORS[platform.machine()],
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["CARILLON_DATA_DIR=/var/lib/carillon"],
            "Entrypoint": ["/usr/bin/carillon"],
            "Cmd": ["serve"],
            "Volumes": {"/var/lib/carillon": {}},
            "WorkingDir": "/var/lib/carillon",
            "Labels": {"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    blobs, media = Tree(), "application/vnd.oci.image"

    def blob(content: bytes, kind: str) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        blobs.add(f"blobs/sha256/{digest}", content)
        return {"mediaType": f"{media}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{media}.manifest.v1+json",
        "config": blob(json.dumps(configuration).encode(), "config.v1+json"),
        "layers": [blob(packed, "layer.v1.tar+gzip")],
    }
    named = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    named["annotations"] = {"org.opencontainers.image.ref.name": f"carillon:{version}"}
    blobs.add("index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
    blobs.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    target = folder / f"carillon-{version}-{platform.machine()}.oci.tar"
    target.write_bytes(blobs.tar())
    return target


def main() -> None:
    binary, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        stripped = Path(name) / "carillon"
        # Debug information is for whoever built it; symbols of functions stay, for panics.
        subprocess.run(["strip", "--strip-debug", "-o", stripped, binary], check=True)
        for pack in (archive, debian, wheel, image):
            made = pack(stripped, folder)
            print(f"{made} {made.stat().st_size / 1_048_576:.1f} MiB")


if __name__ == "__main__":
    main()

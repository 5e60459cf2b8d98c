"""The guide as a book: it names every page, its links lead somewhere, and its first steps work as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.server import Server, environment
from harness.world import World

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.md"), *(DOCS / "guide").glob("*.md"), *ROOT.glob("*.md")]


def links_of(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


def anchors_of(page: Path) -> set[str]:
    """As mdbook and GitHub make them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_the_summary_names_every_page_of_the_guide():
    named = {(DOCS / link).resolve() for link in links_of(DOCS / "SUMMARY.md")}
    pages = {*DOCS.glob("*.md"), *(DOCS / "guide").glob("*.md")} - {DOCS / "SUMMARY.md"}
    assert named == {page.resolve() for page in pages}


def example(language: str) -> str:
    text = (DOCS / "guide" / "first-steps.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", text, re.S)[1]


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_first_steps_work_as_they_stand_there(language, world: World, tmp_path):
    server: Server = world.server
    ana = world.user("ana")
    credentials = {
        "AWS_ENDPOINT_URL": server.http_url,
        "AWS_ACCESS_KEY_ID": server.credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.credentials.secret_access_key,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "CHANNEL": world.channel(ana),
        "ANA": ana,
        "NODE_PATH": str(ROOT / "tests" / "node_modules"),
    }
    path = tmp_path / "example"
    path.write_text(example(language))
    program = sys.executable if language == "python" else "node"
    run = subprocess.run(
        [program, path], env=environment(tmp_path) | credentials, capture_output=True, text=True, timeout=60
    )
    assert re.fullmatch(r"\{ ?'?Value'?: 'SENT' ?\}\n", run.stdout), run.stdout + run.stderr
    assert world.contents(credentials["CHANNEL"], ana) == ["Lunch?"]


def test_no_page_names_a_command_that_is_not_there():
    said = " ".join(page.read_text() for page in PAGES)
    known = set(re.findall(r'name: "(\w+)"', (ROOT / "xtask" / "src" / "main.rs").read_text()))
    assert (named := set(re.findall(r"`cargo xtask (\w+)", said))) <= known, named - known


def test_the_page_on_security_names_tests_that_there_are():
    text = (DOCS / "security.md").read_text()
    named = set(re.findall(r"`((?:test_)?[a-z]+(?:_[a-z0-9]+){3,})`", text))
    sources = [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "crates").rglob("*.rs")]
    known = {name for path in sources for name in re.findall(r"(?:def|fn) (\w+)\(", path.read_text())}
    assert len(named) > 30 and named <= known, named - known

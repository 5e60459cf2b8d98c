"""Headless Chromium, driven by playwright-core: pages that are a small chat, one for each AWS SDK for JavaScript; and
the console."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from harness.exchange import token_of
from harness.extensions import helpers
from harness.server import REGION, Server, environment

DRIVER = Path(__file__).parent.parent / "browser" / "drive.cjs"
STOP_TIMEOUT_S = 20
MISSING = "Chromium is missing: `cargo xtask setup` installs it, or says how"


class Driven:
    """A Chromium and the script that drives it: a line of JSON for each command, and one for each answer."""

    def __init__(self, driver: Path, home: Path, screenshots: Path, *words: str):
        chromium = os.environ.get("CARILLON_TEST_CHROMIUM") or shutil.which("chromium")
        assert chromium, MISSING
        self.screenshots = screenshots
        screenshots.mkdir(parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / "log"
        self.process = subprocess.Popen(
            ["node", str(driver), chromium, *words],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
        )
        self.asked = 0

    def do(self, command: str, *arguments):
        self.asked += 1
        self.process.stdin.write(json.dumps([self.asked, command, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the browser is gone\n{self.log.read_text()}"
        answer = json.loads(line)
        assert answer["id"] == self.asked
        return answer

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


class Browser(Driven):
    """Trusts the CA of one server, and takes screenshots into one folder. Its pages come from this port."""

    def __init__(self, server: Server, port: int, screenshots: Path):
        self.server = server
        home = server.folder / "browser"
        trust(home, server.ca)
        super().__init__(DRIVER, home, screenshots, str(home), str(port), str(helpers()))

    def page(self, sdk: str, user: str, name: str, channel: str, host: str = "localhost") -> "Page":
        """What an application has shown to a user who is signed in there: its own token is all that the page has."""
        query = {
            "endpoint": self.server.https_url,
            "region": REGION,
            "token": token_of(user.rsplit("/", 1)[1]),
            "channel": channel,
        }
        page = Page(self, name)
        page.do("open", host, sdk, query)
        return page


class Shown:
    """Something in a browser that commands name."""

    def __init__(self, browser: Driven, name: str):
        self.browser = browser
        self.name = name

    def do(self, command: str, *arguments):
        answer = self.browser.do(command, self.name, *arguments)
        if "error" in answer:
            shown = self.browser.do("content", self.name).get("value")
            log = self.browser.log.read_text(errors="replace")[-4_000:]
            raise AssertionError(f"{command} {arguments}: {answer['error']}\n{shown}\n{log}")
        return answer.get("value")


class Page(Shown):
    """One page, as a person sees it. Whatever it is to show, it may take a while to."""

    def shows(self, element: str, text: str) -> None:
        self.do("text", f"#{element}", text)

    def shows_messages(self, *texts: str) -> None:
        self.do("list", "#messages", texts)

    def shows_members(self, *names: str) -> None:
        self.do("list", "#members", names)

    def say(self, text: str) -> None:
        self.do("fill", "#text", text)
        self.do("click", "#send")

    def edit(self, number: int, text: str) -> None:
        self.do("fill", "#text", text)
        self.do("click", f"#messages > li:nth-child({number}) > button:nth-of-type(1)")

    def redact(self, number: int) -> None:
        self.do("click", f"#messages > li:nth-child({number}) > button:nth-of-type(2)")

    def mark_read(self) -> None:
        self.do("click", "#seen")

    def error(self) -> str:
        return self.do("filled", "#error")

    def screenshot(self, step: str) -> None:
        self.do("screenshot", str(self.browser.screenshots / f"{step}-{self.name.lower()}.png"))


def trust(home: Path, ca: Path) -> None:
    """Puts a CA into the database that Chromium reads in its HOME."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = shutil.which("certutil")
    assert certutil, f"certutil is missing. {MISSING}"
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "carillon", "-i", str(ca)]):
        subprocess.run([certutil, "-d", f"sql:{database}", *arguments], check=True, timeout=60)

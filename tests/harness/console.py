"""The console in a headless Chromium, as somebody uses it."""

from pathlib import Path
from urllib.parse import quote

from harness.browser import Driven, Shown, trust

DRIVER = Path(__file__).parent.parent / "console" / "drive.cjs"
SCREENSHOTS = Path(__file__).parent.parent.parent / "target" / "screenshots"
PLACE = "/_carillon/console/"
# What a page is looked at in: the colours, and the size of the window.
LOOKS = {
    "light": ("light", 1200, 900),
    "dark": ("dark", 1200, 900),
    "narrow": ("light", 390, 844),
}


class ConsoleBrowser(Driven):
    """Its screenshots are in a folder of their own. It may trust a CA."""

    def __init__(self, home: Path, screenshots: str, ca: Path | None = None):
        if ca is not None:
            trust(home, ca)
        super().__init__(DRIVER, home, SCREENSHOTS / "console" / screenshots)

    def open(self, url: str, name: str = "page") -> "Console":
        console = Console(self, name)
        console.do("open", url)
        return console


class Console(Shown):
    """One tab. Whatever it is to show, it may take a while to."""

    def sign_in(self, credentials) -> None:
        self.do("fill", "Access key id", credentials.access_key_id)
        self.do("fill", "Secret access key", credentials.secret_access_key)
        self.do("click", "button", "Sign in")

    def go(self, *parts: str) -> None:
        self.do("goto", "#/" + "/".join(quote(part, safe="") for part in parts))

    def shows(self, text: str, region: str | None = None) -> None:
        self.do("shows", text, region)

    def heading(self, text: str) -> None:
        self.do("heading", text)

    def say(self, person: str, text: str) -> None:
        self.do("fill", f"Say as {person}", text)
        self.do("press", "Enter")

    def look_at(self, name: str) -> None:
        """In light, dark and narrow: no rule of accessibility broken, nothing cut off at the side, and a picture kept."""
        for look, how in LOOKS.items():
            self.do("look", *how)
            self.do("screenshot", str(self.browser.screenshots / f"{name}-{look}.png"))
            broken = "\n".join(self.do("axe"))
            assert broken == "", f"{name}, {look}:\n{broken}"
            assert self.do("overflows") <= 0, f"{name}, {look} is wider than its window"
        self.do("look", *LOOKS["light"])

    def is_well(self) -> None:
        """No error, nothing that the policy of the page forbids, no request to another host."""
        troubles = "\n".join(self.do("troubles"))
        assert troubles == "", troubles

"""The push services of Apple, Google and browsers, and push applications whose keys they know."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from harness.server import ACCOUNT, REGION, environment

SCRIPT = Path(__file__).parent.parent / "push" / "services.cjs"
APPLICATION = f"arn:aws:mobiletargeting:{REGION}:{ACCOUNT}:apps/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
UNMAPPED = APPLICATION.replace("0f1e", "ffff")
TOPIC = "com.example.chat"
ANSWER_TIMEOUT_S = 60
# How long nothing is said before that is believed: longer than any look of a node.
QUIET_S = 1.5


class PushServices:
    """Small servers that speak the wires, in a process of Node's, and tell of each notification."""

    def __init__(self, folder: Path, *options: str):
        self.folder = folder
        self.seen: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.process = subprocess.Popen(
            ["node", str(SCRIPT), *options],
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.urls: dict[str, str] = json.loads(self.process.stdout.readline())
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self) -> "PushServices":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def listen(self) -> None:
        for line in self.process.stdout:
            said = json.loads(line)
            if "service" not in said:
                self.answers.put(said)
                continue
            with self.changed:
                self.seen.append(said)
                self.changed.notify_all()

    def tell(self, **what: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=ANSWER_TIMEOUT_S)

    def answer(self, device: str, status: int | None = None, body: Any = "", **more: Any) -> None:
        """What a device's service answers from now on; without a status, that all is well again."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.tell(answer=device, **({"status": status, "body": text} | more if status is not None else {}))

    def subscribe(self, name: str) -> str:
        """What a browser's PushSubscription is as JSON: a device token."""
        return json.dumps(self.tell(subscribe=name)["subscription"])

    def of(self, message_id: str, *services: str) -> list[dict[str, Any]]:
        """What was sent for a message, so far."""
        with self.changed:
            mine = [one for one in self.seen if message_id in json.dumps(one.get("payload"))]
        return [one for one in mine if not services or one["service"] in services]

    def wait(self, message_id: str, count: int) -> list[dict[str, Any]]:
        """What was sent for a message, once it is so many; that there are no more is asserted by `only`."""
        with self.changed:
            self.changed.wait_for(lambda: count <= len(self.of(message_id)), ANSWER_TIMEOUT_S)
        sent = self.of(message_id)
        assert len(sent) == count, [one["device"] for one in sent]
        return sent

    # What an operator writes.

    def keys(self) -> dict[str, str]:
        """A key as Apple gives one out, and a service account as Google does."""
        apns, fcm = self.folder / "apns.p8", self.folder / "fcm.json"
        if fcm.exists():
            return {"apns": str(apns), "fcm": str(fcm)}
        run = lambda *arguments: subprocess.run(  # noqa: E731
            ["openssl", *arguments], check=True, capture_output=True, text=True, timeout=60
        ).stdout
        apns.write_text(run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        account = {
            "type": "service_account",
            "project_id": "chat",
            "private_key_id": "1f",
            "private_key": run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
            "client_email": "push@chat.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        fcm.write_text(json.dumps(account))
        return {"apns": str(apns), "fcm": str(fcm)}

    def configuration(self, arn: str = APPLICATION, more: str = "") -> str:
        files, urls = self.keys(), self.urls
        tables = {
            "apns": {
                "team_id": "TEAM",
                "key_id": "KEY",
                "key_file": files["apns"],
                "topic": TOPIC,
                "url": urls["apns"],
                "sandbox_url": urls["apns"],
            },
            "fcm": {
                "project": "chat",
                "service_account_file": files["fcm"],
                "url": urls["fcm"],
                "token_url": f"{urls['fcm']}/token",
            },
            "web_push": {"subject": "mailto:ops@example.com", "origins": [urls["web_push"]]},
        }
        lines = [f'[push."{arn}"]', more]
        for name, table in tables.items():
            lines += [f'[push."{arn}".{name}]', *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"

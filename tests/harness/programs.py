"""Programs that speak for bots: the runtime of Lex V2, and a model of language."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from harness.aws import check_input, signature_fault
from harness.played import Answer, Played

ALIAS = "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE12345/TSTALIASID"
OTHER_ALIAS = "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE67890/TSTALIASID"
PATH = re.compile("/bots/([^/]+)/botAliases/([^/]+)/botLocales/([^/]+)/sessions/([^/]+)(/text)?")
TEXT_LENGTH_MAX = 1024
API_KEY = "a key of the interface"


def said(*words: str) -> list[dict[str, Any]]:
    return [{"content": one, "contentType": "PlainText"} for one in words]


class Lex(Played):
    """The runtime of Lex V2. Each call is held against its model, and its signature against botocore's."""

    def __init__(self, is_signed: bool = True):
        super().__init__(self.answer)
        self.is_signed = is_signed
        self.reply: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda call: said(f"You said {call['text']}")
        self.welcome = said("Welcome!")
        self.intent = {"name": "BookRoom", "state": "InProgress"}
        # Statuses of the answers to come, before it answers well.
        self.refusals: list[int] = []

    def answer(self, method: str, path: str, headers, body: bytes) -> Answer:
        match = PATH.fullmatch(unquote(path))
        if not match or method != "POST":
            return 404, {}, b""
        if self.is_signed and (fault := signature_fault("lex", method, path, headers, body)):
            self.faults.append(fault)
        names = ("botId", "botAliasId", "localeId", "sessionId")
        given = dict(zip(names, match.groups(), strict=False)) | json.loads(body)
        operation = "RecognizeText" if match[5] else "PutSession"
        if operation == "RecognizeText" and not 1 <= len(given["text"]) <= TEXT_LENGTH_MAX:
            self.note(given)
            return refusal(400, "ValidationException", "text: length must be at most 1024")
        if fault := check_input("lexv2-runtime", operation, given):
            self.faults.append(fault)
        self.note(given)
        if self.refusals and (status := self.refusals.pop(0)):
            return refusal(status, {429: "ThrottlingException"}.get(status, "InternalServerException"), "no")
        state = {"intent": self.intent, **given["sessionState"]}
        if operation == "PutSession":
            state = {"intent": given["sessionState"]["intent"] | {"state": "Fulfilled"}}
            headers = {
                "x-amz-lex-messages": packed(self.welcome),
                "x-amz-lex-session-state": packed(state),
                "x-amz-lex-session-id": given["sessionId"],
                "content-type": "text/plain; charset=utf-8",
            }
            return 200, headers, b""
        answered = {
            "messages": self.reply(given),
            "sessionState": state,
            "interpretations": [],
            "sessionId": given["sessionId"],
        }
        return 200, {"content-type": "application/json"}, json.dumps(answered).encode()


def packed(value: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(value).encode())).decode()


def refusal(status: int, code: str, message: str) -> Answer:
    return status, {"x-amzn-errortype": code}, json.dumps({"message": message}).encode()


class Model(Played):
    """A model of language: repeats how many turns it was shown, and the last."""

    def __init__(self) -> None:
        super().__init__(self.answer)

    def answer(self, method: str, path: str, headers, body: bytes) -> Answer:
        if (method, path, headers["authorization"]) != ("POST", "/v1/chat/completions", f"Bearer {API_KEY}"):
            self.faults.append(f"{method} {path} {headers['authorization']}")
        call = json.loads(body)
        self.note(call)
        last = call["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"{len(call['messages'])} turns, and {last}"}
        return 200, {}, json.dumps({"id": "1", "choices": [{"index": 0, "message": message}]}).encode()

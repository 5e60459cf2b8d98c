"""The console, every page of it, in a real browser: what it shows, to whom, and that it asks nobody else.

The screenshots of each page, in light, dark and narrow, stay in `target/screenshots/console`.
"""

import json
import time
import urllib.error
import urllib.request

import pytest

from harness.console import PLACE, ConsoleBrowser
from harness.dev import Dev, paste
from harness.processor import eventually
from harness.raw import Connection
from harness.server import Credentials
from harness.world import World

REHEARSAL = "arn:aws:lambda:us-east-1:000000000000:function:rehearsal"
CONFIGURATION = f"""
[audit]
file = "audit.log"

[processors."{REHEARSAL}"]
kind = "rehearsal"
wait_seconds = 2
"""


@pytest.fixture
def own_server(serve):
    return serve(CONFIGURATION)


@pytest.fixture
def browser(own_server):
    browser = ConsoleBrowser(own_server.folder / "browser", own_server.engine.name, own_server.ca)
    yield browser
    browser.stop()


@pytest.fixture
def dev(tmp_path):
    dev = Dev(tmp_path, "dev")
    yield dev
    dev.stop()


@pytest.fixture
def at_home(tmp_path):
    browser = ConsoleBrowser(tmp_path / "browser", "dev")
    yield browser
    browser.stop()


def key_of(server, name: str, *statements: dict) -> Credentials:
    """An access key of a new IAM user who may do this and nothing else."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])


def allow(*actions: str, on: str | list[str] = "*") -> dict:
    return {"Sid": "Allowed", "Effect": "Allow", "Action": list(actions), "Resource": on}


def rehearsing(world: World, ana: str, bob: str) -> str:
    """A channel of two whose messages do what they say."""
    flow = world.flow(REHEARSAL, "ABORT", "Reads along", Name="Rehearsal")
    channel = world.channel(ana, bob, Name="Stage")
    world.messaging.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=flow, ChimeBearer=ana)
    return channel


def signed_in(browser, server, credentials=None, name="page"):
    console = browser.open(server.http_url + PLACE, name)
    console.sign_in(credentials or server.credentials)
    return console


def test_from_the_link_of_dev_to_a_message_seen(tmp_path, at_home, capsys):
    began = time.monotonic()
    dev = Dev(tmp_path, "dev")
    try:
        page = at_home.open(dev.link())
        page.say("Ana", "Hello, Bob")
        page.shows("Hello, Bob", "Bob")
        took = time.monotonic() - began
        with capsys.disabled():
            print(f"\nfrom a built binary to a message seen in a browser: 1 command, {took:.1f} s")
        page.shows("Hello! I repeat what I am told.", "Bob")
        page.look_at("lobby")
        # What the terminal says is seen, too.
        exports, command = dev.printed()
        assert paste(tmp_path, *exports, command.replace("Hello, Bob", "By the shell")).returncode == 0
        page.shows("By the shell", "Ana")
        # The link can be opened again and again; what it carries stays in the tab.
        again = at_home.open(dev.link(), "again")
        again.shows("Hello, Bob", "Ana")
        kept = again.do("kept")
        code = dev.link().partition("#code=")[2]
        assert kept["local"] == {} and code not in kept["address"]
        again.do("reload")
        again.shows("Hello, Bob", "Ana")
        again.do("click", "button", "Sign out")
        again.heading("Carillon")
        assert again.do("kept")["session"] == {}
        page.is_well()
        again.is_well()
    finally:
        dev.stop()


def test_a_link_of_an_earlier_start_opens_nothing(dev, at_home):
    page = at_home.open(dev.link()[:-4] + "0000")
    page.shows("This link is of an earlier start")
    assert page.do("kept")["session"] == {}


def test_the_code_of_the_link_is_for_pages_of_this_machine(dev):
    code = dev.link().partition("#code=")[2]

    def ask(code: str, **headers: str) -> int:
        url = f"http://127.0.0.1:{dev.http_port}{PLACE}session"
        body = json.dumps({"Code": code}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"} | headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert ask(code) == 200
    assert ask("0" * len(code)) == ask("") == 403
    assert ask(code, origin="https://example.com") == ask(code, host="console.example.com") == 403
    assert ask(code, **{"content-type": "text/plain"}) == 415


def test_pending_failed_and_denied_are_seen_and_why(dev, at_home):
    page = at_home.open(dev.link())
    page.do("click", "link", "try it in the other channel")
    page.heading("Rehearsal")
    page.say("Ana", "this may pass")
    page.shows("this may pass", "Bob")
    page.say("Ana", "please fail")
    page.shows("The processor Rehearsal failed, as the message asked it to", "Ana")
    page.say("Ana", "please deny")
    page.shows("Nobody else saw it, and it is not kept", "Ana")
    page.say("Ana", "please wait")
    page.shows("It waits for a processor of the flow “Rehearsal”", "Ana")
    page.look_at("rehearsal")
    page.shows("please wait", "Bob")
    for hidden in ("please fail", "please deny", "PENDING", "FAILED", "DENIED"):
        page.do("lacks", hidden, "Bob")
    page.do("lacks", "PENDING", "Ana")
    page.is_well()


def test_every_page_is_whole_and_accessible_in_every_look(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    world.identity.create_app_instance_admin(AppInstanceAdminArn=ana, AppInstanceArn=world.app_instance)
    channel = rehearsing(world, ana, bob)
    world.send(channel, ana, "Welcome")
    iam = own_server.client("iam")
    key = key_of(own_server, "backend", allow("chime:*"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow("chime:List*")]})
    arn = iam.create_policy(PolicyName="may-look", PolicyDocument=policy)["Policy"]["Arn"]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="visitor", AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="visitor", PolicyArn=arn)

    page = browser.open(own_server.http_url + PLACE)
    page.heading("Carillon")
    page.look_at("sign-in")
    page.sign_in(own_server.credentials)

    page.heading("App instances")
    page.shows("Test")
    page.look_at("app-instances")
    for tab, shown in {"users": "Ana", "channels": "Stage", "bots": "There are no bots", "administrators": "Ana"}.items():
        page.go("instance", world.app_instance, tab, *([ana] if tab == "channels" else []))
        page.shows(shown)
        page.look_at(tab)

    page.go("channel", channel, ana, bob)
    page.shows("Welcome", "Bob")
    page.do("open_details", "Members")
    page.shows(bob)
    page.look_at("conversation")

    page.go("flows", world.app_instance)
    page.shows("Reads along")
    page.shows("It stands before Stage.")
    page.shows("built in, can be called")
    page.look_at("flows")

    page.go("access", "users")
    page.do("open_details", "backend")
    page.shows(key.access_key_id)
    page.shows('"chime:*"')
    page.look_at("access-users")
    page.go("access", "roles")
    page.do("open_details", "visitor")
    page.shows('"chime:List*"')
    page.look_at("access-roles")
    page.go("access", "policies")
    page.do("open_details", "may-look")
    page.shows('"chime:List*"')
    page.look_at("access-policies")
    page.go("access", "why")
    page.do("fill", "Principal", "backend")
    page.do("fill", "Resource", channel)
    page.do("fill", "Bearer", ana)
    page.do("press", "Enter")
    page.shows("Allowed")
    page.shows("decided by: flow")
    page.shows("Allow, and decides", "Statements that were looked at")
    page.look_at("access-why")

    page.go("metrics")
    page.shows("WebSockets that are open")
    page.do("drawn")
    page.look_at("metrics")
    page.go("failures")
    page.shows("Nothing has failed.")
    page.look_at("failures")

    page.go("audit")
    page.shows("chime:CreateChannel")
    page.do("fill", "Find", "AssociateChannelFlow")
    page.do("lacks", "iam:CreateRole")
    page.look_at("audit")
    page.is_well()


def test_who_may_little_sees_little_and_is_told_why(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    world.send(channel, ana, "Welcome")
    secret = world.channel(ana, Name="Secret")
    narrow = key_of(own_server, "narrow", allow("chime:*", on=[bob, channel]))

    page = signed_in(browser, own_server, narrow)
    # The whole list is not for them, and the page says so in the server's words.
    page.shows("AccessDeniedException")
    page.shows("is not authorized to perform: chime:ListAppInstances")
    page.go("channel", channel, bob)
    page.shows("Welcome")
    page.say("Bob", "I may")
    page.shows("I may")
    eventually(lambda: "I may" in world.contents(channel, ana), True)
    # Ana is not theirs to speak as, nor is the other channel theirs to see.
    page.go("channel", channel, bob, ana)
    page.shows("is not authorized to perform: chime:ListChannelMessages")
    page.shows("4003")
    page.go("channel", secret, bob)
    page.shows("is not authorized to perform: chime:DescribeChannel")
    assert "Secret" not in page.do("content")
    # Which statement decides is one click away.
    page.do("click", "link", "Which statement decides?")
    page.shows("Not allowed")
    page.shows("decided by: policy")
    page.look_at("refused-why")
    for name, action in {
        "flows": "chime:ListAppInstances",
        "access": "iam:ListUsers",
        "audit": "carillon:ReadAuditLog",
    }.items():
        page.go(name)
        page.shows(f"is not authorized to perform: {action}")
        page.look_at(f"refused-{name}")
    page.is_well()


def test_a_key_that_is_wrong_is_told_so(own_server, browser):
    page = signed_in(browser, own_server, Credentials("AKIAUNKNOWN000000000", "secret"))
    page.shows("UnrecognizedClientException")


def test_over_https_sockets_are_secure(own_server, browser):
    world = World(own_server)
    ana, bob = world.users("ana", "bob")
    channel = world.channel(ana, bob)
    page = browser.open(own_server.https_url + PLACE)
    page.sign_in(own_server.credentials)
    page.shows("Test")
    page.go("channel", channel, ana, bob)
    page.shows("live", "Bob")
    page.say("Ana", "Over TLS")
    page.shows("Over TLS", "Bob")
    page.is_well()


def test_a_page_that_cannot_sign_says_so_and_asks_for_no_secret(own_server, browser):
    page = browser.open(f"http://elsewhere.test:{own_server.http_port}{PLACE}")
    page.shows("browsers let no page sign")
    assert "Secret access key" not in page.do("content")


def test_a_message_is_said_with_the_keyboard_alone(own_server, browser):
    world = World(own_server)
    ana = world.user("ana")
    world.channel(ana, Name="Lobby")
    page = browser.open(own_server.http_url + PLACE)
    page.heading("Carillon")

    def tab_to(what: str) -> None:
        for _ in range(60):
            page.do("press", "Tab")
            if what in page.do("focused"):
                return
        raise AssertionError(f"{what} is not reached by the keyboard")

    # The first field has the focus.
    page.do("type", own_server.credentials.access_key_id)
    tab_to("Secret access key")
    page.do("type", own_server.credentials.secret_access_key)
    page.do("press", "Enter")
    page.shows("Test")
    for link, seen in {"a: Test": "their channels", "a: their channels: Ana": "Lobby", "a: Lobby": "Nothing was said yet."}.items():
        tab_to(link)
        page.do("press", "Enter")
        page.shows(seen)
    tab_to("Say as Ana")
    page.do("type", "By hand")
    page.do("press", "Enter")
    page.shows("By hand", "Ana")
    page.is_well()


def test_what_is_read_of_the_inside_is_for_whom_a_policy_allows(own_server):
    audit, processors = "/_carillon/v1/audit", "/_carillon/v1/processors"
    reader = key_of(own_server, "reader", allow("carillon:ReadAuditLog"))
    with Connection(own_server, reader) as connection:

        def newest() -> tuple[str, str, str]:
            line = connection.call("GET", audit).json["Lines"][0]
            return line["principal"].rpartition(":")[2], line["action"], line["result"]

        # A read that is answered is no line.
        eventually(newest, ("root", "iam:CreateAccessKey", "OK"))
        refused = connection.call("GET", processors)
        assert refused.status == 403 and "carillon:ListProcessors on resource: *" in refused.json["Message"]
        eventually(newest, ("user/reader", "carillon:ListProcessors", "AccessDeniedException"))
    with Connection(own_server, own_server.credentials) as connection:
        [processor] = connection.call("GET", processors).json["Processors"]
        assert processor == {
            "ResourceArn": REHEARSAL,
            "Kind": "built in",
            "Gate": "open",
            "CallsUnderWay": 0,
            "Waiting": False,
        }
        assert connection.call("POST", audit).status == 404
    for path in (audit, processors):
        with pytest.raises(urllib.error.HTTPError) as unsigned:
            urllib.request.urlopen(own_server.http_url + path, timeout=10)
        assert unsigned.value.code == 403


def test_files_are_asked_for_once_and_forbid_everything_else(own_server):
    def get(path: str, **headers: str):
        request = urllib.request.Request(own_server.http_url + path, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            return error

    kinds = {"": "text/html", "console.js": "text/javascript", "console.css": "text/css", "icon.svg": "image/svg+xml"}
    for name, kind in kinds.items():
        answer = get(PLACE + name)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "connect-src 'self'", "base-uri 'none'"):
            assert rule in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        known = get(PLACE + name, **{"if-none-match": answer.headers["etag"]})
        assert known.status == 304 and known.read() == b""
    assert get("/_carillon/console").url.endswith(PLACE)
    for missing in ("index.html", "console.js.map", "..%2Fpackage.json", "session"):
        assert get(PLACE + missing).status == 404
    # Nobody is signed in by a server in earnest.
    body = json.dumps({"Code": ""}).encode()
    request = urllib.request.Request(own_server.http_url + PLACE + "session", body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 404

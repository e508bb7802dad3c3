"""What carries notices, against real HTTP servers: every failure is an answer, and no answer has a secret."""

from __future__ import annotations

import json
import sys

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.errors import Fatal
from app.notices import Answer, Message, Post
from connectors.http.apprised import AppriseChannel
from connectors.http.webhook import WebhookPoster
from tests.support.receiver import OK, Receiver, Reply, running_receiver

POST = Post(b'{"a":1}', {"Content-Type": "application/json", "Idempotency-Key": "n1"})
MESSAGE = Message("n1", "{}", "a title", "a text")


async def posted(url: str, headers: dict[str, str] | None = None, timeout_s: float = 5.0) -> Answer:
    secret = {name: SecretStr(value) for name, value in (headers or {}).items()}
    poster = WebhookPoster(SecretStr(url), secret, timeout_s, SystemClock())
    try:
        return await poster.post(POST)
    finally:
        await poster.close()


async def answered(receiver: Receiver, reply: Reply) -> Answer:
    receiver.decide = lambda path, notice, number: reply
    return await posted(receiver.url("/hook"))


async def test_the_body_arrives_as_it_is_with_the_targets_own_headers() -> None:
    async with running_receiver() as receiver:
        own = {"Authorization": "Bearer x", "content-type": "application/cloudevents+json"}
        assert await posted(receiver.url("/hook"), own) == Answer(200)
    (came,) = receiver.came
    assert came.body == POST.body
    assert came.headers["Authorization"] == "Bearer x"
    assert came.headers.getall("Content-Type") == ["application/cloudevents+json"]
    assert came.id == "n1"


async def test_a_redirect_is_not_followed() -> None:
    async with running_receiver() as receiver:
        reply = Reply(307, headers={"Location": receiver.url("/elsewhere")})
        assert (await answered(receiver, reply)).status == 307
        assert receiver.at("/elsewhere") == []


async def test_when_to_ask_again_is_read_in_both_forms() -> None:
    async with running_receiver() as receiver:
        wanted = {
            "7": 7.0,
            "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
            "soon": None,
            "-5": None,
            "": None,
            "9" * 40: None,
        }
        for said, seconds in wanted.items():
            reply = Reply(429, headers={"Retry-After": said})
            assert (await answered(receiver, reply)).retry_after_s == seconds
        far = await answered(receiver, Reply(503, headers={"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}))
        assert far.retry_after_s is not None
        assert far.retry_after_s > 1e9


async def test_what_does_not_answer_is_an_answer_without_the_address() -> None:
    gone = Receiver()
    await gone.start()
    await gone.die()
    async with running_receiver() as receiver:
        receiver.decide = lambda path, notice, number: Reply(0) if path == "/cut" else Reply(after_s=0.5)
        answers = [
            await posted(gone.url("/very-secret")),
            await posted(receiver.url("/cut")),
            await posted(receiver.url("/slow"), timeout_s=0.1),
            await posted(f"https://127.0.0.1:{receiver.port}/very-secret"),
            await posted("https://no-such-name.invalid/very-secret"),
        ]
    assert [answer.status for answer in answers] == [None] * 5
    assert [answer.cause for answer in answers] == [
        "no connection: Connection refused",
        "ServerDisconnectedError",
        "no answer within 0.1 s",
        "no TLS with it",
        "the name is not known",
    ]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # what apprise imports
async def test_a_service_behind_apprise_is_told_in_words() -> None:
    async with running_receiver() as receiver:
        receiver.decide = lambda path, notice, number: OK if path == "/good" else Reply(500)
        good = AppriseChannel("t", SecretStr(f"json://127.0.0.1:{receiver.port}/good"))
        bad = AppriseChannel("t", SecretStr(f"json://127.0.0.1:{receiver.port}/bad"))
        assert await good.send(MESSAGE) == Answer(200)
        assert await bad.send(MESSAGE) == Answer(None, "the service did not take it")
    said = json.loads(receiver.at("/good")[0].body)
    assert (said["title"], said["message"]) == ("a title", "a text")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_an_address_that_apprise_does_not_know_is_refused_without_repeating_it() -> None:
    with pytest.raises(Fatal, match="apprise does not know") as found:
        AppriseChannel("team", SecretStr("nonsense-and-secret"))
    assert "nonsense-and-secret" not in str(found.value)


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(Fatal, match=r"pip install driftwatch\[apprise\]"):
        AppriseChannel("team", SecretStr("json://127.0.0.1/"))

"""The backend that asks a web service: the requests RabbitMQ sends, and whatever comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from broker.access.backend import Granted, Login, Refused, Unavailable
from broker.access.http import Http
from broker.config import load
from broker.core.permissions import Question, ResourceAccess, TopicAccess, VhostAccess

ANN = Login("ann x", "pä&ss".encode(), "192.0.2.1")
TAGS = "administrator foo"
# What RabbitMQ 3.10.8 was seen to send for each question.
QUESTIONS: dict[Question, tuple[str, dict[str, str]]] = {
    VhostAccess("/"): ("vhost", {"vhost": "/", "ip": "192.0.2.1", "tags": TAGS}),
    ResourceAccess("/", "queue", "q", "configure"): (
        "resource",
        {"vhost": "/", "resource": "queue", "name": "q", "permission": "configure", "tags": TAGS},
    ),
    TopicAccess("/", "t", "write", "a.b"): (
        "topic",
        {
            "vhost": "/",
            "resource": "topic",
            "name": "t",
            "permission": "write",
            "tags": TAGS,
            "routing_key": "a.b",
            "variable_map.username": "ann x",
            "variable_map.vhost": "/",
        },
    ),
}


class Service:
    """A web service that gives prepared answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post() if request.method == "POST" else request.query
        path = request.path.strip("/")
        self.asked.append((request.method, path, {k: str(v) for k, v in fields.items()}))
        answer = self.answers.get(path, "allow")
        if isinstance(answer, web.StreamResponse):
            return answer
        if answer is None:
            await asyncio.sleep(30)
        return web.Response(text=answer)


def serve(check: Callable[[Service, Http], Awaitable[None]], **options: object) -> None:
    """Run a check with a service and a backend that asks it."""

    async def run() -> None:
        service = Service()
        server = web.Server(service.answer)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        paths = {
            f"auth_http.{name}_path": f"http://127.0.0.1:{port}/{name}"
            for name in ("user", "vhost", "resource", "topic")
        }
        settings = {**paths, "auth_http.request_timeout": 300, **options}
        config, _ = load(None, [f"{key}={value}" for key, value in settings.items()], {})
        backend = Http(config.auth_http)
        try:
            await check(service, backend)
        finally:
            await backend.close()
            await runner.cleanup()

    asyncio.run(run())


async def ask(granted: Granted, question: Question) -> bool:
    """The answer, now or later."""
    answer = granted.may(question)
    return answer if isinstance(answer, bool) else await answer


@pytest.mark.parametrize("method", ["get", "post"])
def test_requests_are_rabbitmqs(method: str) -> None:
    """Paths, parameters and their names are those a service for RabbitMQ expects."""

    async def check(service: Service, backend: Http) -> None:
        service.answers["user"] = f"allow {TAGS}"
        granted = await backend.authenticate(ANN)
        assert (granted.name, granted.tags) == ("ann x", frozenset(TAGS.split()))
        credentials = {"username": "ann x", "password": "pä&ss"}
        assert service.asked.pop() == (method.upper(), "user", credentials)
        for question, (path, asked) in QUESTIONS.items():
            assert await ask(granted, question)
            assert service.asked.pop() == (method.upper(), path, {"username": "ann x", **asked})
        await backend.authorize(ANN)
        assert service.asked.pop() == (method.upper(), "user", {"username": "ann x"})

    serve(check, **{"auth_http.http_method": method})


@pytest.mark.parametrize(
    "answer",
    ["deny", "deny allow", "", "allowed", "yes", web.Response(status=404, text="allow")],
    ids=str,
)
def test_only_allow_lets_in(answer: Any) -> None:
    """Whatever is not `allow` lets nobody in."""

    async def check(service: Service, backend: Http) -> None:
        service.answers["user"] = answer
        with pytest.raises(Refused):
            await backend.authenticate(ANN)

    serve(check)


@pytest.mark.parametrize("answer", ["deny", "", "allow administrator", "x" * 20_000, None])
def test_only_allow_permits(answer: Any) -> None:
    """A question has the answer yes by `allow` alone; nonsense, too much and silence are a no."""

    async def check(service: Service, backend: Http) -> None:
        service.answers |= dict.fromkeys(("vhost", "resource", "topic"), answer)
        granted = await backend.authenticate(ANN)
        for question in QUESTIONS:
            assert not await ask(granted, question)

    serve(check)


def test_a_service_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """Without the service nobody gets in, and what is said of that has no password in it."""

    async def check(service: Service, backend: Http) -> None:
        with pytest.raises(Unavailable) as unavailable:
            await backend.authenticate(ANN)
        assert "http://127.0.0.1:1/user" in str(unavailable.value)
        assert "ss" not in str(unavailable.value).replace("Client", "")

    serve(check, **{"auth_http.user_path": "http://127.0.0.1:1/user"})

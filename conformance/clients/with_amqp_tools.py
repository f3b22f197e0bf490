"""amqp-tools, the command line programs of librabbitmq: a C client, used from shell scripts."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from conformance.clients import support
from conformance.clients.support import Skip, Target, equal, unique, wait_until

TOOLS = ("declare-queue", "publish", "get", "consume", "delete-queue")


class Shell:
    """Runs the tools on one broker."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(
        self, tool: str, *arguments: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one tool to its end, whatever that is."""
        return subprocess.run(
            self.command(tool, *arguments),
            input=stdin,
            capture_output=True,
            timeout=20,
            check=False,
        )

    def ok(self, tool: str, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one tool, which must succeed, and return what it printed."""
        done = self.run(tool, *arguments, stdin=stdin)
        assert done.returncode == 0, f"amqp-{tool} {arguments}: {done}"
        return done.stdout

    def command(self, tool: str, *arguments: str) -> list[str]:
        """Give the command line; with amqp-consume the URL must come before the command to run."""
        return [f"amqp-{tool}", "--url", self._url, *arguments]

    @contextlib.contextmanager
    def queue(self, *options: str) -> Iterator[str]:
        """Declare a queue; delete it afterwards."""
        name = unique("tools")
        printed = self.ok("declare-queue", "-q", name, *options)
        equal(printed.decode().strip(), name, "amqp-declare-queue's output")
        try:
            yield name
        finally:
            self.run("delete-queue", "-q", name)


@contextlib.contextmanager
def session(target: Target) -> Iterator[Shell]:
    """Make sure that the tools are here."""
    missing = [f"amqp-{tool}" for tool in TOOLS if shutil.which(f"amqp-{tool}") is None]
    if missing:
        raise Skip(f"{', '.join(missing)} not installed (apt-get install amqp-tools)")
    yield Shell(target.url)


def check_publish_and_get(shell: Shell) -> None:
    """What was published is got, in order; an empty queue gives exit code 2."""
    with shell.queue() as queue:
        for body in ("one", "two"):
            shell.ok("publish", "-r", queue, "-b", body)
        shell.ok("publish", "-r", queue, stdin=b"\x00from\xffstdin\n")
        equal(shell.ok("get", "-q", queue), b"one", "first")
        equal(shell.ok("get", "-q", queue), b"two", "second")
        equal(shell.ok("get", "-q", queue), b"\x00from\xffstdin\n", "third")
        empty = shell.run("get", "-q", queue)
        equal((empty.returncode, empty.stdout), (2, b""), "get from the empty queue")


def check_lines_and_consume(shell: Shell) -> None:
    """Lines become messages, and amqp-consume hands each to a command, with acknowledgement."""
    with shell.queue("-d") as queue:
        lines = b"".join(b"line %d\n" % number for number in range(20))
        shell.ok("publish", "-p", "-l", "-r", queue, stdin=lines)
        first = shell.ok("consume", "-q", queue, "-c", "5", "-p", "5", "cat")
        rest = shell.ok("consume", "-q", queue, "-c", "15", "cat")
        equal(first + rest, lines, "consumed lines")
        equal(shell.ok("delete-queue", "-q", queue).strip(), b"0", "messages deleted")


def check_failed_command_requeues(shell: Shell) -> None:
    """A message whose command failed goes back to the queue."""
    with shell.queue() as queue:
        shell.ok("publish", "-r", queue, "-b", "job")
        shell.run("consume", "-q", queue, "-c", "1", "-p", "1", "false")
        equal(shell.ok("get", "-q", queue), b"job", "after the failure")


def check_exclusive_consumer_on_exchange(shell: Shell) -> None:
    """amqp-consume binds a queue of its own to an exchange and hears what is published there."""
    key = unique("tools.key")
    arguments = ("-x", "-e", "amq.topic", "-r", f"{key}.#", "-c", "3", "cat")
    listener = subprocess.Popen(
        shell.command("consume", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        # It does not say when it listens, so the first message is repeated until it does.
        def heard() -> bool:
            shell.ok("publish", "-e", "amq.topic", "-r", f"{key}.a", "-b", "x")
            return listener.poll() is not None

        wait_until(heard, "three messages arrive")
        equal(listener.communicate()[0], b"xxx", "heard")
        equal(listener.returncode, 0, "exit code")
    finally:
        if listener.poll() is None:
            listener.kill()
            listener.communicate()


def check_properties(shell: Shell) -> None:
    """Content type, encoding, reply-to, headers and persistence arrive; read here with pika."""
    pika = support.optional("pika")
    with shell.queue() as queue:
        arguments = ("-C", "text/csv", "-E", "gzip", "-t", "replies", "-H", "color: blue", "-p")
        shell.ok("publish", "-r", queue, "-b", "1;2", *arguments)
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(shell._url))) as other:
            _, got, body = other.channel().basic_get(queue, auto_ack=True)
        equal(body, b"1;2", "body")
        equal((got.content_type, got.content_encoding), ("text/csv", "gzip"), "content")
        equal((got.reply_to, got.delivery_mode), ("replies", 2), "reply-to and delivery mode")
        equal(got.headers, {"color": "blue"}, "headers")


def check_delete_conditions(shell: Shell) -> None:
    """Deleting only when empty is refused while there is a message; the count is printed."""
    with shell.queue() as queue:
        shell.ok("publish", "-r", queue, "-b", "x")
        refused = shell.run("delete-queue", "-q", queue, "-e")
        equal(refused.returncode, 1, "exit code")
        text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
        assert text in refused.stderr.decode(), refused.stderr
        equal(shell.ok("delete-queue", "-q", queue).strip(), b"1", "messages deleted")


def check_errors(shell: Shell) -> None:
    """A missing queue, a missing vhost and a wrong password end in an error that says which."""
    missing = unique("tools.missing")
    done = shell.run("get", "-q", missing)
    equal(done.returncode, 1, "exit code of get")
    assert f"NOT_FOUND - no queue '{missing}' in vhost '/'" in done.stderr.decode(), done.stderr
    for word, other in (
        ("vhost no-such-vhost not found", shell._url.rsplit("/", 1)[0] + "/no-such-vhost"),
        ("ACCESS_REFUSED", re.sub(r":[^:/@]+@", ":wrong@", shell._url)),
    ):
        done = Shell(other).run("get", "-q", missing)
        equal(done.returncode, 1, f"exit code with {other}")
        assert word in done.stderr.decode(), done.stderr


if __name__ == "__main__":
    sys.exit(support.main(__name__))

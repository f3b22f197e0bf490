"""Environment variables: those RabbitMQ and its Docker image know, as entries of rabbitmq.conf.

Owns: which variable sets which key. They override the file, and --set overrides them. Empty ones
count as unset, as with RabbitMQ. Variables that a container is often given and that would be
ignored in silence are faults, with what to set instead.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from broker.config.syntax import Entry

_KEYS = {
    "RABBITMQ_DEFAULT_USER": "default_user",
    "RABBITMQ_DEFAULT_PASS": "default_pass",
    "RABBITMQ_DEFAULT_VHOST": "default_vhost",
    "RABBITMQ_LOG_BASE": "log.dir",
    "RABBITMQ_PID_FILE": "leveret.pid_file",
}
_REFUSED = {
    "RABBITMQ_DEFAULT_USER_FILE": "RABBITMQ_DEFAULT_USER",
    "RABBITMQ_DEFAULT_PASS_FILE": "RABBITMQ_DEFAULT_PASS",
    "RABBITMQ_VM_MEMORY_HIGH_WATERMARK": "vm_memory_high_watermark in rabbitmq.conf",
    **{
        f"RABBITMQ_{part}SSL_{option}": f"{key}.{option.lower()} in rabbitmq.conf"
        for part, key in (("", "ssl_options"), ("MANAGEMENT_", "management.ssl"))
        for option in ("CACERTFILE", "CERTFILE", "KEYFILE", "DEPTH", "VERIFY")
    },
}
"""Ignored, they would leave a well-known password or no TLS in force; RabbitMQ refuses them too."""


def files(path: str | None, environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """The files to read, the later ones overriding, each with what named it."""
    found: list[tuple[Path, str]] = []
    if path is not None:
        found += [(file, "--config") for file in _in(Path(path))]
    elif main := environ.get("RABBITMQ_CONFIG_FILE"):
        # RabbitMQ takes the name with and without its ending.
        file = Path(main)
        with_ending = file.with_name(f"{file.name}.conf")
        found.append((with_ending if not file.exists() else file, "RABBITMQ_CONFIG_FILE"))
    if more := environ.get("RABBITMQ_CONFIG_FILES"):
        found += [(file, "RABBITMQ_CONFIG_FILES") for file in _in(Path(more), missing=False)]
    return found


def _in(place: Path, *, missing: bool = True) -> list[Path]:
    """The file, or those of the directory in the order of their names."""
    if place.is_dir():
        return sorted(place.glob("*.conf"))
    return [place] if missing or place.exists() else []


def entries(environ: Mapping[str, str], faults: list[str]) -> list[Entry]:
    """What the variables set."""
    faults += [
        f"{name} is not supported: set {instead} instead"
        for name, instead in _REFUSED.items()
        if environ.get(name)
    ]
    found = [
        Entry(tuple(key.split(".")), environ[name], name)
        for name, key in _KEYS.items()
        if environ.get(name)
    ]
    return [*found, *_listener(environ), *_logs(environ), *_levels(environ)]


def _listener(environ: Mapping[str, str]) -> Iterator[Entry]:
    host, port = environ.get("RABBITMQ_NODE_IP_ADDRESS"), environ.get("RABBITMQ_NODE_PORT")
    if host or port:
        bracketed = f"[{host}]" if host and ":" in host else host
        text = f"{bracketed}:{port or 5672}" if host else f"{port}"
        name = "RABBITMQ_NODE_PORT" if port else "RABBITMQ_NODE_IP_ADDRESS"
        yield Entry(("listeners", "tcp", "default"), text, name)


def _logs(environ: Mapping[str, str]) -> Iterator[Entry]:
    """RABBITMQ_LOGS: where to log, a file or ``-`` for the console."""
    name = "RABBITMQ_LOGS"
    places = [place for place in environ.get(name, "").split(",") if place]
    if not places:
        return
    console = [place for place in places if place in ("-", "-stderr")]
    file = next((place for place in places if place not in console), "false")
    yield Entry(("log", "console"), "true" if console else "false", name)
    if "-stderr" in console:
        yield Entry(("log", "console", "stdio"), "stderr", name)
    yield Entry(("log", "file"), file, name)


def _levels(environ: Mapping[str, str]) -> Iterator[Entry]:
    """RABBITMQ_LOG: ``debug``, ``connection=debug,default=info``, ``+json``."""
    name = "RABBITMQ_LOG"
    for word in filter(None, environ.get(name, "").split(",")):
        category, given, level = word.partition("=")
        if word in ("+json", "-json"):
            text = "json" if word == "+json" else "plaintext"
            for output in ("console", "file"):
                yield Entry(("log", output, "formatter"), text, name)
        elif given:
            yield Entry(("log", category, "level"), level, name)
        elif not word.endswith("color"):  # +color and -color: lines have none
            yield Entry(("log", "level"), word, name)

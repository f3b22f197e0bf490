"""Definitions into the model, section by section, in the order in which one needs another."""

from __future__ import annotations

import binascii
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from broker.core import permissions, policies, runtime_parameters, users, vhost_settings
from broker.core.broker import Broker
from broker.core.exchange import Exchange
from broker.core.operations import apply, declare_queue_operation, snapshot
from broker.core.queue import Queue
from broker.core.vhost import Vhost
from broker.definitions.exporting import place_of
from broker.definitions.reading import DefinitionError, Entry, entries
from protocol.errors import AmqpError
from protocol.tables import Table, json_table
from protocol.tables import field as amqp_field

_log = logging.getLogger("leveret.definitions")

RandomBytes = Callable[[int], bytes]

# Keys of a whole file that say where it comes from.
_ORIGIN = (
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "rabbitmq_definition_format",
    "original_cluster_name",
    "original_vhost_name",
    "explanation",
)
_METADATA = ("description", "tags", "default_queue_type", "protected_from_deletion")
_OF_VHOST = ("parameters", "policies", "exchanges", "queues", "bindings")


Steps = Iterator[None]
"""An import in many small steps, so that others can have their turn in between."""


def import_all(broker: Broker, document: Any, random: RandomBytes) -> Steps:
    """Take in definitions of a whole broker, or raise ``DefinitionError`` and change nothing.

    ``random`` makes salts, for users that come with a password.
    """
    return _import(broker, lambda target: Import(target, document, random))


def import_vhost(vhost: Vhost, document: Any) -> Steps:
    """Take in what definitions say is in a vhost, whatever vhost they speak of."""
    return _import(vhost.broker, lambda target: Import(target, document, bytes, vhost.name))


def at_once(steps: Steps) -> None:
    """Take all steps of an import."""
    for _ in steps:
        pass


def _import(broker: Broker, of: Callable[[Broker], Import]) -> Steps:
    copy = Broker()
    yield from _fill(copy, broker)
    yield from of(copy).steps()
    done = of(broker)
    yield from done.steps()
    for warning in done.warnings:
        _log.warning("%s", warning)


def _fill(copy: Broker, broker: Broker) -> Steps:
    copy.vhost_defaults = broker.vhost_defaults
    copy.events.place = broker.events.place
    owned = [
        declare_queue_operation(queue)  # it counts for limits, and has its name
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
        if queue.owner is not None
    ]
    for operation in [*snapshot(broker, transient=True), *owned]:
        apply(copy, operation)
        yield
    copy.limits = broker.limits


def _in_one_line(text: str) -> str:
    return ": ".join(line.strip() for line in text.splitlines() if line.strip())


class Import:
    """One import into one model. ``only_vhost``: the one it may change."""

    def __init__(
        self, broker: Broker, document: Any, random: RandomBytes, only_vhost: str | None = None
    ) -> None:
        if not isinstance(document, dict):
            raise DefinitionError("the definitions are no JSON object")
        self.broker = broker
        self.document: Mapping[str, Any] = document
        self.random = random
        self.only_vhost = only_vhost
        self.warnings: list[str] = []

    def steps(self) -> Steps:
        """Take in all sections, an entry in a step."""
        for section, take in _SECTIONS.items():
            if self.only_vhost is None or section in _OF_VHOST:
                for entry in entries(self.document, section):
                    self._take(section, entry, take)
                    yield
        unknown = {
            key: value
            for key, value in self.document.items()
            if key not in _SECTIONS and key not in _ORIGIN
        }
        if unknown and self.only_vhost is None:
            self._warn(f"{', '.join(unknown)}: unknown, kept without effect")
            runtime_parameters.keep_unknown(self.broker, (), unknown)

    def _take(self, section: str, entry: Entry, take: Callable[[Import, Entry], None]) -> None:
        try:
            take(self, entry)
        except DefinitionError:
            raise
        except AmqpError as error:
            raise entry.fault(f"is refused: {_in_one_line(error.text)}") from None
        except RecursionError:
            raise entry.fault("is nested too deeply") from None
        except ValueError as error:  # what the model takes from nobody, and odd text and numbers
            raise entry.fault(f"is refused: {_in_one_line(str(error))}") from None
        if entry.unknown:
            self._warn(f"{entry.place}: {', '.join(entry.unknown)}: unknown, kept without effect")
            vhost = {} if self.only_vhost is None else {"vhost": self.only_vhost}
            place = place_of(section, {**entry.values, **vhost})
            runtime_parameters.keep_unknown(self.broker, place, entry.unknown)

    def _warn(self, warning: str) -> None:
        self.warnings.append(warning)

    def _vhost_of(self, entry: Entry) -> Vhost:
        entry.ignore("vhost")
        name = self.only_vhost or entry.name("vhost")
        vhost = self.broker.vhosts.get(name)
        if vhost is None:
            raise entry.fault(f"is in vhost {name!r}, which does not exist")
        return vhost

    def _user_of(self, entry: Entry) -> str:
        name = entry.text("user")
        if name not in self.broker.users:
            raise entry.fault(f"is for user {name!r}, who does not exist")
        return name

    # -- the sections ------------------------------------------------------------------

    def user(self, entry: Entry) -> None:
        """A user, with the hash of a password or with a password."""
        name = entry.name()
        if entry.get("tags") is None:
            raise entry.fault("has no 'tags'")
        password_hash, hashing = self._password(entry)
        try:
            users.put_user(
                self.broker,
                name,
                password_hash=password_hash,
                hashing_algorithm=hashing,
                tags=entry.words("tags"),
                limits=entry.object("limits"),
            )
        except binascii.Error:
            raise entry.fault("has a password_hash that is not base64") from None

    def _password(self, entry: Entry) -> tuple[str, str]:
        hashing = entry.text("hashing_algorithm", self._default_hashing())
        if hashing not in users.HASHINGS:
            raise entry.fault(f"has an unknown hashing_algorithm {hashing!r}")
        password_hash = entry.text("password_hash", "")
        if entry.get("password") is None:
            return password_hash, hashing
        if password_hash:
            raise entry.fault("has both a password and a password_hash")
        salt = self.random(users.SALT_OCTETS)
        return users.hash_password(entry.text("password"), salt), users.SHA256

    def _default_hashing(self) -> str:
        """Files of RabbitMQ before 3.6 have md5, and do not say so."""
        version = self.document.get("rabbitmq_version", self.document.get("rabbit_version"))
        found = re.match(r"(\d{1,4})\.(\d{1,4})", str(version))
        is_old = found is not None and (int(found[1]), int(found[2])) < (3, 6)
        return users.MD5 if is_old else users.SHA256

    def vhost(self, entry: Entry) -> None:
        """A vhost: newer files have its metadata in an object, older ones beside its name."""
        vhost = self.broker.declare_vhost(entry.name())
        inner = Entry(entry.place, entry.values.get("metadata") or {})
        inner.ignore(*_METADATA)
        entry.ignore_but("metadata", inner.unknown)
        described = {**inner.values, **entry.values}
        entry.ignore(*_METADATA)
        if "description" in described or "tags" in described:
            both = Entry(entry.place, described)
            description = both.text("description", vhost.description)
            vhost_settings.set_metadata(vhost, description, both.words("tags"))
        queue_type = described.get("default_queue_type")
        if queue_type not in (None, "undefined"):
            vhost_settings.set_default_queue_type(vhost, _short_type(queue_type))
        if "protected_from_deletion" in described:
            protected = Entry(entry.place, described).flag("protected_from_deletion", default=False)
            vhost_settings.set_protection(vhost, on=protected)
        limits = entry.object("limits")
        if limits:
            vhost_settings.set_limits(vhost, limits)
        if entry.get("tracing") is not None:
            vhost.trace(on=entry.flag("tracing", default=False))

    def permission(self, entry: Entry) -> None:
        """Permissions of a user in a vhost."""
        permissions.set_permissions(
            self._vhost_of(entry),
            self._user_of(entry),
            configure=entry.text("configure"),
            write=entry.text("write"),
            read=entry.text("read"),
        )

    def topic_permission(self, entry: Entry) -> None:
        """Topic permissions of a user on an exchange."""
        permissions.set_topic_permissions(
            self._vhost_of(entry),
            self._user_of(entry),
            entry.name("exchange"),
            write=entry.text("write"),
            read=entry.text("read"),
        )

    def global_parameter(self, entry: Entry) -> None:
        """A parameter of the broker."""
        runtime_parameters.set_global_parameter(self.broker, entry.text("name"), entry.get("value"))

    def parameter(self, entry: Entry) -> None:
        """A parameter of a vhost; two components are limits and operator policies."""
        vhost, component = self._vhost_of(entry), entry.text("component")
        if component == "vhost-limits":
            entry.ignore("name")
            vhost_settings.set_limits(vhost, entry.object("value"))
        elif component in ("operator_policy", "policy"):
            values = {**entry.object("value"), "name": entry.text("name")}
            operator = component == "operator_policy"
            self._set_policy(vhost, Entry(entry.place, values), operator=operator)
        else:
            name = entry.text("name")
            runtime_parameters.set_parameter(vhost, component, name, entry.get("value"))

    def policy(self, entry: Entry) -> None:
        """A policy."""
        self._set_policy(self._vhost_of(entry), entry, operator=False)

    def _set_policy(self, vhost: Vhost, entry: Entry, *, operator: bool) -> None:
        policies.set_policy(
            vhost,
            entry.text("name"),
            pattern=entry.get("pattern"),
            definition=entry.get("definition"),
            priority=entry.get("priority", 0),
            apply_to=entry.get("apply-to", "all"),
            operator=operator,
        )

    def exchange(self, entry: Entry) -> None:
        """An exchange, unless there is one of that name."""
        vhost, name = self._vhost_of(entry), entry.name()
        durable = entry.flag("durable", default=True)
        auto_delete = entry.flag("auto_delete", default=False)
        internal = entry.flag("internal", default=False)
        kind, arguments = entry.text("type"), _arguments(entry)
        entry.ignore("policy", "user_who_performed_action")
        if not name or name.startswith("amq."):
            self._warn(f"{entry.place}: not imported, the name is reserved")
        elif name not in vhost.exchanges:
            vhost.declare_exchange(
                name,
                kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
            )

    def queue(self, entry: Entry) -> None:
        """A queue, unless there is one of that name."""
        vhost, name = self._vhost_of(entry), entry.name()
        durable = entry.flag("durable", default=True)
        auto_delete = entry.flag("auto_delete", default=False)
        arguments = _arguments(entry)
        kind = _short_type(entry.text("type", "classic"))
        if kind != "classic":
            arguments.setdefault("x-queue-type", amqp_field(kind))
        if not name or name.startswith("amq."):
            self._warn(f"{entry.place}: not imported, the name is reserved")
        elif name not in vhost.queues:
            vhost.declare_queue(
                name,
                durable=durable,
                exclusive=False,
                auto_delete=auto_delete,
                arguments=arguments,
                owner=None,
                typed=True,
            )

    def binding(self, entry: Entry) -> None:
        """A binding; RabbitMQ also exports some of queues that it does not export."""
        vhost = self._vhost_of(entry)
        source, name = entry.name("source"), entry.name("destination")
        kind = entry.text("destination_type", "queue")
        routing_key, arguments = entry.name("routing_key", ""), _arguments(entry)
        entry.ignore("properties_key")
        if kind not in ("queue", "exchange"):
            raise entry.fault(f"has destination_type {kind!r} instead of 'queue' or 'exchange'")
        if not source:
            return  # every queue is bound to the default exchange
        destination: Queue | Exchange | None
        destination = vhost.queues.get(name) if kind == "queue" else vhost.exchanges.get(name)
        if source not in vhost.exchanges or destination is None:
            self._warn(
                f"{entry.place}: not imported, exchange {source!r} or {kind} {name!r} is missing"
            )
        else:
            vhost.bind(source, destination, routing_key, arguments)


def _short_type(name: Any) -> str:
    """``rabbit_quorum_queue`` is the same as ``quorum``."""
    return str(name).removeprefix("rabbit_").removesuffix("_queue")


def _arguments(entry: Entry) -> Table:
    try:
        return json_table(entry.object("arguments"), null=True)
    except ValueError as error:
        raise entry.fault(f"has 'arguments' that AMQP cannot say: {error}") from None


_SECTIONS: dict[str, Callable[[Import, Entry], None]] = {
    "users": Import.user,
    "vhosts": Import.vhost,
    "permissions": Import.permission,
    "topic_permissions": Import.topic_permission,
    "global_parameters": Import.global_parameter,
    "parameters": Import.parameter,
    "policies": Import.policy,
    "exchanges": Import.exchange,
    "queues": Import.queue,
    "bindings": Import.binding,
}

"""The table of paths, continued: those that RabbitMQ's plugins add."""

from __future__ import annotations

from broker.management import absent, traces
from broker.management.access import ADMINISTRATOR, IN_VHOST, MANAGER, MONITOR, POLICYMAKER_IN_VHOST
from broker.management.route import Path, path

_TRACES = (
    path("/traces", ADMINISTRATOR, get=traces.get_all),
    path("/traces/{vhost}", ADMINISTRATOR, get=traces.get_all),
    path("/traces/node/{node}", ADMINISTRATOR, get=traces.get_all),
    path("/traces/node/{node}/{vhost}", ADMINISTRATOR, get=traces.get_all),
    *(
        path(where, ADMINISTRATOR, get=traces.get, put=traces.put, delete=traces.delete)
        for where in ("/traces/{vhost}/{name}", "/traces/node/{node}/{vhost}/{name}")
    ),
    path("/trace-files", ADMINISTRATOR, get=traces.get_files),
    path("/trace-files/node/{node}", ADMINISTRATOR, get=traces.get_files),
    *(
        path(where, ADMINISTRATOR, get=traces.get_file, delete=traces.delete_file)
        for where in ("/trace-files/{file}", "/trace-files/node/{node}/{file}")
    ),
)
_SHOVELS = (
    path("/shovels", MONITOR, get=absent.get_shovels),
    path("/shovels/{vhost}", MONITOR, get=absent.get_shovels),
    path(
        "/shovels/vhost/{vhost}/{name}",
        MONITOR.but(delete=POLICYMAKER_IN_VHOST),
        get=absent.get_shovel,
        delete=absent.delete_shovel,
    ),
    path(
        "/shovels/vhost/{vhost}/{name}/restart",
        POLICYMAKER_IN_VHOST,
        delete=absent.restart_shovel,
    ),
)
_LINKS = (
    path("/federation-links", MONITOR, get=absent.get_nothing),
    path("/federation-links/state/down", MONITOR, get=absent.get_nothing),
    path("/federation-links/{vhost}", MONITOR, get=absent.get_nothing),
    path("/federation-links/{vhost}/state/down", MONITOR, get=absent.get_nothing),
    path(
        "/federation-links/vhost/{vhost}/{link}/{node}/restart",
        POLICYMAKER_IN_VHOST,
        delete=absent.restart_link,
    ),
)
_STREAMS = (
    *(
        path(f"/stream/{kind}{place}", IN_VHOST if place else MANAGER, get=absent.get_nothing)
        for kind in ("connections", "publishers", "consumers")
        for place in ("", "/{vhost}")
    ),
    path("/stream/publishers/{vhost}/{stream}", IN_VHOST, get=absent.get_nothing),
    path("/stream/connections/{vhost}/{connection}/publishers", IN_VHOST, get=absent.get_nothing),
    path("/stream/connections/{vhost}/{connection}/consumers", IN_VHOST, get=absent.get_nothing),
)
_REPLICAS = (
    path("/queues/quorum/{vhost}/{queue}/replicas/add", ADMINISTRATOR, post=absent.refuse_replicas),
    path(
        "/queues/quorum/{vhost}/{queue}/replicas/delete",
        ADMINISTRATOR,
        delete=absent.refuse_replicas,
    ),
    path("/queues/quorum/replicas/on/{node}/grow", ADMINISTRATOR, post=absent.refuse_replicas),
    path("/queues/quorum/replicas/on/{node}/shrink", ADMINISTRATOR, delete=absent.refuse_replicas),
)

PLUGIN_PATHS: tuple[Path, ...] = (*_TRACES, *_SHOVELS, *_LINKS, *_STREAMS, *_REPLICAS)

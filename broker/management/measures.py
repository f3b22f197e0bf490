"""What the process itself uses: memory, files, sockets, disk, CPU. Names are RabbitMQ's.

What has no meaning here (Mnesia, the message store of RabbitMQ) is there, as 0, because tools read
it.
"""

from __future__ import annotations

import gc
import os
import resource
from typing import TYPE_CHECKING

from broker.alarms import free_disk_bytes, resident_bytes
from broker.management.rows import CHURN, of_churn
from broker.resources import open_files

if TYPE_CHECKING:
    from broker.management.series import Row
    from broker.server import Server

USED = ("mem_used", "fd_used", "sockets_used", "proc_used", "disk_free")
COUNTED = ("gc_num", "context_switches", "io_read_bytes", "io_write_bytes")
WITHOUT_MEANING = (
    "gc_bytes_reclaimed",
    "io_read_count",
    "io_write_count",
    "io_sync_count",
    "io_seek_count",
    "io_reopen_count",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_write_count",
    "queue_index_read_count",
    "io_read_avg_time",
    "io_write_avg_time",
    "io_sync_avg_time",
    "io_seek_avg_time",
)
NODE = (*USED, *COUNTED, *WITHOUT_MEANING, *CHURN)
_SECTOR_BYTES = 512


def row(server: Server) -> Row:
    """``NODE``."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (
        resident_bytes(),
        open_files(),
        len(server.sessions),
        threads(),
        free_disk_bytes(server.config.data_dir),
        sum(generation["collections"] for generation in gc.get_stats()),
        usage.ru_nvcsw + usage.ru_nivcsw,
        usage.ru_inblock * _SECTOR_BYTES,
        usage.ru_oublock * _SECTOR_BYTES,
        *([0] * len(WITHOUT_MEANING)),
        *of_churn(server.broker.churn),
    )


def threads() -> int:
    """Threads of the process, which is what comes nearest to Erlang's processes."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def run_queue() -> int:
    """How many processes want a CPU, on average of a minute."""
    return round(os.getloadavg()[0])

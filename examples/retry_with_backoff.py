"""Retry with backoff: the broker keeps a rejected message back, longer each time.

No TTL queues, no plugin, no republishing: the consumer rejects with requeue, and x-delivery-count
tells how often it did. After the delivery limit the message is dead-lettered.
"""

import time
from typing import Any

from place import connect

WORK, FAILED = "example.retry", "example.retry.failed"

connection = connect()
channel = connection.channel()
channel.queue_declare(FAILED, durable=True)
channel.queue_declare(
    WORK,
    durable=True,
    arguments={
        "x-queue-type": "quorum",  # counts deliveries, so that there can be a limit
        "x-delivery-limit": 3,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": FAILED,
        "x-delayed-retry-type": "all",
        "x-delayed-retry-strategy": "exponential",
        "x-delayed-retry-min": 200,  # milliseconds: 200, 400, 800 ...
        "x-delayed-retry-max": 60_000,
    },
)
channel.basic_publish("", WORK, b"job")
began = time.monotonic()


def work(channel: Any, method: Any, properties: Any, body: bytes) -> None:
    """A task that always fails."""
    tries = (properties.headers or {}).get("x-delivery-count", 0)
    print(f"{time.monotonic() - began:.1f} s: {body.decode()} fails, after {tries} tries before")
    channel.basic_reject(method.delivery_tag, requeue=True)


channel.basic_consume(WORK, work)
while channel.queue_declare(FAILED, passive=True).method.message_count == 0:
    connection.process_data_events(time_limit=0.1)
_, properties, body = channel.basic_get(FAILED, auto_ack=True)
print(f"{body.decode()} was given up: {properties.headers['x-death'][0]['reason']}")
channel.queue_delete(WORK)
channel.queue_delete(FAILED)
connection.close()

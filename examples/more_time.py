"""More time for a long task: the consumer renews its deadline instead of having none.

A delivery that is not acknowledged within the consumer timeout goes back to the queue, and its
channel is closed. Who is still at work says so before, by a message to ``amq.leveret.extend``.
"""

import time
from typing import Any

import pika
from place import connect

QUEUE = "example.long"
TIMEOUT_MS = 1000

connection = connect()
channel = connection.channel()
channel.queue_declare(QUEUE, durable=True)
channel.basic_publish("", QUEUE, b"film")


def encode(channel: Any, method: Any, _: Any, body: bytes) -> None:
    """A task of three times the timeout."""
    began = time.monotonic()
    while time.monotonic() - began < 3 * TIMEOUT_MS / 1000:
        connection.sleep(TIMEOUT_MS / 1000 / 4)
        # Without the header: more time for all deliveries of the channel.
        which = pika.BasicProperties(headers={"delivery-tag": method.delivery_tag})
        channel.basic_publish("", "amq.leveret.extend", b"", which)
    channel.basic_ack(method.delivery_tag)
    print(f"{body.decode()} took {time.monotonic() - began:.0f} s, with a timeout of 1 s")
    channel.stop_consuming()


channel.basic_consume(QUEUE, encode, arguments={"x-consumer-timeout": TIMEOUT_MS})
channel.start_consuming()
channel.queue_delete(QUEUE)
connection.close()

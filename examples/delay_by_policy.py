"""x-delay on any exchange: a policy switches it on, and no exchange has to be declared anew."""

import time

import pika
from place import call, connect

EXCHANGE, QUEUE = "example.events", "example.events"

connection = connect()
channel = connection.channel()
channel.exchange_declare(EXCHANGE, "topic", durable=True)
channel.queue_declare(QUEUE, durable=True)
channel.queue_bind(QUEUE, EXCHANGE, "user.#")
policy = {
    "pattern": "^example[.]events$",
    "apply-to": "exchanges",
    "definition": {"delayed-message": True},
}
call("PUT", "/policies/%2F/example-delays", policy)
began = time.monotonic()
for text, headers in (("later", {"x-delay": 700}), ("now", {})):
    properties = pika.BasicProperties(delivery_mode=2, headers=headers)
    channel.basic_publish(EXCHANGE, "user.created", text.encode(), properties)
got = []
for _, _, body in channel.consume(QUEUE, auto_ack=True):
    got.append(body.decode())
    print(f"{time.monotonic() - began:.1f} s: {got[-1]}")
    if len(got) == 2:
        break
channel.cancel()
call("DELETE", "/policies/%2F/example-delays")
channel.queue_delete(QUEUE)
channel.exchange_delete(EXCHANGE)
connection.close()

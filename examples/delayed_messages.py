"""Delayed messages: see what waits, and change your mind.

An exchange of the type x-delayed-message routes a message with the header x-delay so many
milliseconds later. Unlike with RabbitMQ's plugin, what waits is durable in the broker's log, may
be as much as you like, and can be listed and cancelled.
"""

import time

import pika
from place import call, connect

EXCHANGE, QUEUE = "example.reminders", "example.reminders"

connection = connect()
channel = connection.channel()
channel.exchange_declare(
    EXCHANGE, "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"}
)
channel.queue_declare(QUEUE, durable=True)
channel.queue_bind(QUEUE, EXCHANGE, "remind")
channel.confirm_delivery()
for text, delay_ms in (("call Ann", 86_400_000), ("tea is ready", 500), ("pay Bob", 3_600_000)):
    properties = pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay_ms})
    channel.basic_publish(EXCHANGE, "remind", text.encode(), properties)

waiting = [one for one in call("GET", "/delayed/%2F") if one["exchange"] == EXCHANGE]
for one in waiting:
    in_s = one["due_ms"] / 1000 - time.time()
    print(f"due in {in_s:.0f} s: {one['payload_bytes']} octets for {one['routing_key']}")
call("DELETE", f"/delayed/%2F/{waiting[1]['id']}")  # the one that is due in an hour
print(f"{len(call('GET', '/delayed/%2F'))} left after one was cancelled")
for _, properties, body in channel.consume(QUEUE, auto_ack=True):
    print(f"{body.decode()}, delayed by {-properties.headers['x-delay']} ms")
    break
channel.cancel()
channel.queue_delete(QUEUE)
channel.exchange_delete(EXCHANGE)
connection.close()

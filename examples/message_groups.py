"""Message groups: strict order for each key, with any number of consumers.

Messages with the same value in the header form a group. A group's next message is handed out only
when the one before is done, so the orders of one customer are never worked on at once, nor out of
order; those of different customers proceed side by side.
"""

from typing import Any

import pika
from place import connect

QUEUE = "example.orders"

connection = connect()
channel = connection.channel()
channel.queue_declare(QUEUE, durable=True, arguments={"x-message-group-header": "customer"})
for number in range(9):
    customer = "ABC"[number % 3]
    properties = pika.BasicProperties(delivery_mode=2, headers={"customer": customer})
    channel.basic_publish("", QUEUE, f"{customer}{number // 3 + 1}".encode(), properties)

at_work: dict[str, str] = {}  # which consumer has a customer's order
done: list[str] = []
waiting: list[tuple[Any, int, str]] = []


def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
    """An order arrives; it is worked off later, so that several are at work at once."""
    customer = properties.headers["customer"]
    assert customer not in at_work, "two orders of one customer at the same time"
    at_work[customer] = method.consumer_tag
    waiting.append((channel, method.delivery_tag, body.decode()))


for worker in ("first", "second"):
    consumer = connection.channel()
    consumer.basic_qos(prefetch_count=2)
    consumer.basic_consume(QUEUE, take, consumer_tag=worker)
while len(done) < 9:
    connection.process_data_events(time_limit=0.05)
    while waiting:
        consumer, tag, order = waiting.pop()  # the newest first: the broker keeps the order
        del at_work[order[0]]
        done.append(order)
        consumer.basic_ack(tag)
for customer in "ABC":
    print(f"customer {customer}: {' '.join(order for order in done if order[0] == customer)}")
channel.queue_delete(QUEUE)
connection.close()

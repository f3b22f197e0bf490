"""The age of the oldest message: what to watch instead of how many messages there are.

A queue with a million messages that are done in a minute is in order, one with ten messages that
have been there for an hour is not.
"""

import time

from place import call, connect

QUEUE = "example.age"

connection = connect()
channel = connection.channel()
channel.queue_declare(QUEUE, durable=True)
channel.basic_publish("", QUEUE, b"old")
time.sleep(1.0)
channel.basic_publish("", QUEUE, b"new")
while (age_ms := call("GET", f"/queues/%2F/{QUEUE}").get("oldest_message_age_ms")) is None:
    time.sleep(0.1)
print(f"the oldest message is {age_ms / 1000:.0f} s old")
channel.queue_delete(QUEUE)
connection.close()

"""Leveret: a durable AMQP 0-9-1 broker. See ARCHITECTURE.md for the map."""

__version__ = "0.1.0"

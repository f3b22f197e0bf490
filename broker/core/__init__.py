"""The broker's model: vhosts, exchanges, queues, messages. Synchronous and deterministic.

Nothing here waits, reads a clock, touches a file or draws a random number: time is
``Broker.now_ms``, names that must be random are made by the caller, and durable bytes go to an
injected log. Between two calls from the event loop everything is consistent, so there are no
locks.
"""

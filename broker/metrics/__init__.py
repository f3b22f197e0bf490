"""Metrics for Prometheus under RabbitMQ's names, and a few of our own (``leveret_...``).

``service`` answers scrapes; ``registries`` says which families each path has. ``queues``,
``clients``, ``topology``, ``messages``, ``node`` and ``memory`` make them of the integers that are
counted anyway (``core.counters``), from the pieces in ``family``; ``render`` has the library write
them. Nothing here is called when a message passes.

Invariants:

* A scrape holds the loop for a few milliseconds at a time, however many queues there are: families
  are made and written in slices (``render``), and only one scrape at a time is.
* What RabbitMQ measures and has no meaning here (Erlang's memory, Raft, Mnesia) is left out, not
  reported as 0. ``registries.LEFT_OUT`` names it.
"""

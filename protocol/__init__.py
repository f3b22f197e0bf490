"""AMQP 0-9-1 as bytes and meaning: no socket, no clock, no event loop.

The package turns the octets a peer sends into events and turns answers back into octets.
It knows the wire and nothing else: what a queue is, who may log in and when a peer is too
slow are decided by ``broker``.

==================  =====================================================================
``constants``       frame types, reply codes, limits of the wire format
``errors``          the error tree; every error knows its reply code and what it closes
``tables``          field tables, bit for bit, with RabbitMQ's eighteen value types
``methods``         control methods: payload to object and back
``content``         content headers: properties, peeking, framing a message's content
``connection``      the state machine of one connection: ``receive(data)`` yields events
``handshake``       the methods of channel 0: from start-ok to close
``fastpath``        publish, ack and deliver without objects; invariants F1-F7
==================  =====================================================================

The contract is three verbs: feed octets to ``Connection.receive`` and act on each event
before asking for the next; answer through ``Connection.send``; write what collects in
``Connection.out``.
"""

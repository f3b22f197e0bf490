"""The AMQP 0-9-1 front end: what a client's frames mean to the model, and the way back.

==============  ==============================================================================
``host``        what this package asks of the process around it
``session``     one client's socket: octets to ``protocol.Connection``, events to channels
``channel``     one channel: delivery tags, prefetch, what closing it gives back
``methods``     the methods clients call, as a table from method to handler
``publish``     basic.publish in full: every check, and the route the fast path then reuses
``consumer``    a subscription and its deliveries
``confirms``    publisher confirms: a watermark a channel
``transaction`` tx.select, commit and rollback
==============  ==============================================================================

Another wire protocol would be another package beside this one, on the same ``broker.core``.
"""

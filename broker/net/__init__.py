"""The network below AMQP: listeners, TLS, the PROXY protocol.

``listening`` opens the listeners and brings each accepted socket to its session, ``tls`` owns the
certificates. The octets of the PROXY protocol are read by ``protocol.proxy``.
"""

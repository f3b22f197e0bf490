"""Who may log in and what they may do, whoever knows that: us, a directory, a token, a web service.

``authentication`` is what the rest of the process uses: it reads a client's response with one of
the ``mechanisms`` and asks the ``chain`` of backends. A backend (``backend``) is ``internal`` (the
users in the model), ``http``, ``oauth2``, ``ldap``, or a ``cache`` in front of another one.

Invariants:
* Nothing here blocks the loop: what has to ask elsewhere is a coroutine, or runs on a thread.
* Whatever is wrong with a client's credentials, it gets one and the same answer; only the log has
  the reason, and no secret is in it.
* A backend that cannot be asked allows nothing.
"""

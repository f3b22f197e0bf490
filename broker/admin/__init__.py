"""Administration from a terminal: a client of the management API, and nothing of the broker.

Owns: every command of `leveret` but those that run the broker or read its files, and the programs
that stand in for RabbitMQ's. From the bottom up:

* `failure.py`    what ends a command: a text for a person, an exit code for a script
* `target.py`     which broker, and who is asking: options, environment, a file, the local socket
* `api.py`        one request to the management API and its answer or failure
* `values.py`     how one value looks, to a person, to a program, and as rabbitmqctl writes it
* `output.py`     how an answer looks: tables, CSV, JSON, and what is said around it
* `command.py`    what all commands share: options, and the `Session` that each is called with
* `examples.py`   one for each command
* `completion.py` names that the shell completes
* `refused.py`    commands that have no meaning here, and why
* `telling.py`    what a failed command writes
* `programs.py`   the tables of commands, from names to modules that are imported when called
* the rest        commands, by topic; a command is a function that asks the API and shows the answer

Invariants:
* There is one set of commands. The programs differ in their voice only (`values.Voice`).
* A secret is never taken from the arguments of `leveret`, which `ps` shows to everybody, and never
  printed. The stand-in for rabbitmqctl takes what scripts give rabbitmqctl.
* Names are shown with control characters escaped: a queue's name cannot drive the terminal.
* It works against RabbitMQ's management API as well as against Leveret's.
"""

"""Definitions: all that operators and clients have declared, as RabbitMQ's JSON.

Exported by RabbitMQ 3.x, 4.x or Amazon MQ, it is imported here; exported here, there. What is there
already is completed, not replaced: a queue or exchange that exists stays as it is, users and
policies take the values of the file.

Invariants:

* An import changes everything or nothing: it is tried on a copy of the model first, with the same
  code. What is wrong, and where, is told by ``DefinitionError``. (An import is taken in steps. If
  others change the model in between, so that an entry is refused after all, it ends there.)
* Keys that mean nothing here are named in a warning, and kept for the next export.
"""

from broker.definitions.exporting import (
    export_all,
    export_vhost,
    sections_of_all,
    sections_of_vhost,
)
from broker.definitions.importing import at_once, import_all, import_vhost
from broker.definitions.reading import DefinitionError

__all__ = [
    "DefinitionError",
    "at_once",
    "export_all",
    "export_vhost",
    "import_all",
    "import_vhost",
    "sections_of_all",
    "sections_of_vhost",
]

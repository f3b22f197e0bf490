"""Configuration: from rabbitmq.conf syntax, environment and command line to one frozen `Config`.

Owns: the file syntax (`syntax`), the kinds of value (`kinds`), the table of settings (`table`), the
result (`model`), the order of precedence and the error listing (`loader`), changes while the broker
runs (`changes`), and the reference text made from the table (`reference`).

Invariants:
* A setting is one row of `table.SETTINGS`: key, kind, default and meaning exist nowhere else.
* Precedence is defaults < file < environment < --set.
* A bad value never stops at the first fault: one `ConfigError` lists them all.
* A key that RabbitMQ knows never stops the broker, so an operator can bring the file along.
* A secret never appears in a repr, a warning or an error.
"""

from broker.config.loader import load
from broker.config.model import Config, ConfigError, Listener

__all__ = ["Config", "ConfigError", "Listener", "load"]

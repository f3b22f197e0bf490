"""The settings as text for people: config/leveret.conf and the list at the end of --help.

Owns: how a row of the table is written down. Nothing here knows any particular setting.
"""

import textwrap
from collections.abc import Mapping
from functools import reduce

from broker.config.model import Config
from broker.config.rows import Family, Setting
from broker.config.table import SETTINGS

_HEAD = """\
# Settings of Leveret, in the format of rabbitmq.conf.
#
# Every setting is here with its default, commented out: remove the # to change one. Keys and
# units are RabbitMQ's, so a rabbitmq.conf can be used as it is; keys that have no effect in
# Leveret are named in one warning at the start. Keys that begin with leveret. are Leveret's own.
#
# A # begins a comment, also behind a value; put a value that contains one in 'single quotes'.
# $(NAME) is the environment variable NAME. Variables of RabbitMQ override this file:
# RABBITMQ_DEFAULT_USER, _DEFAULT_PASS, _DEFAULT_VHOST, _NODE_PORT, _NODE_IP_ADDRESS, _LOGS, _LOG,
# _LOG_BASE and _PID_FILE; --set key=value overrides both. RABBITMQ_CONFIG_FILE and _CONFIG_FILES
# name files.
#
# This file is made from the program by `make reference`; `leveret settings` prints it.
"""
SECRET_SHOWN = "(not shown)"
_LATER = " Accepted and checked, without effect yet."
_LIVE = " May be changed while the broker runs."


def conf_text() -> str:
    """Write the whole reference file: every setting with meaning, unit and default."""
    return _HEAD + "".join(f"\n{_paragraph(row)}" for row in SETTINGS)


def help_text() -> str:
    """Write one line per setting: the default as an operator would write it, and the unit."""
    return "\n".join(f"  {line}" for row in SETTINGS for line in _examples(row))


def _examples(row: Setting) -> list[str]:
    # The unit is a comment in the file's own syntax, so the line stays valid without its #.
    return [f"{example}  # {row.kind.unit}" for example in row.examples]


def _paragraph(row: Setting) -> str:
    meaning = row.meaning + (_LATER if row.later else "") + (_LIVE if row.live else "")
    prose = textwrap.wrap(meaning, width=98, break_on_hyphens=False, break_long_words=False)
    return "\n".join([*(f"# {line}" for line in prose), *(f"#{e}" for e in _examples(row)), ""])


def in_force(config: Config) -> dict[str, str]:
    """Give the settings as they are, by key and as an operator would write them; no secrets."""
    secret = {row.name for row in SETTINGS if row.kind.secret}
    return {
        row.key: SECRET_SHOWN if row.name in secret else _shown(row, config) for row in SETTINGS
    }


def _shown(row: Setting, config: Config) -> str:
    value = reduce(getattr, row.name.split("."), config)
    if not isinstance(row, Family):
        return row.kind.show(value)
    if isinstance(value, Mapping):
        parts = {
            word: each.get(row.part) if isinstance(each, Mapping) else each
            for word, each in value.items()
        }
        return ", ".join(f"{word}={each}" for word, each in parts.items() if each is not None)
    return ", ".join(map(_member, value)) if isinstance(value, tuple | frozenset) else str(value)


def _member(value: object) -> str:
    """Give one of several; those who do a thing together are named once each."""
    return "/".join(dict.fromkeys(value)) if isinstance(value, tuple) else str(value)

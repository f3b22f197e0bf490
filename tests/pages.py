"""Pages as small as can be, so that a few messages show what millions do."""

from contextlib import ExitStack
from unittest import mock

from broker import pager
from broker.core import paging

SIZES = {
    (paging, "PAGE_MESSAGES_MAX"): 3,
    (paging, "PAGE_MESSAGES_MIN"): 1,
    (pager, "KEEP_BYTES_MIN"): 1,
    (pager, "PAGE_BYTES_MAX"): 1,
    (pager, "LOOK_INTERVAL_S"): 0,
    (pager, "IDLE_INTERVAL_S"): 0,
}


def tiny_pages() -> ExitStack:
    """A context in which a page holds at most three messages, and a queue keeps one in memory.

    With ``World(paged=True)`` all that can be paged out is.
    """
    stack = ExitStack()
    for (module, name), size in SIZES.items():
        stack.enter_context(mock.patch.object(module, name, size))
    return stack

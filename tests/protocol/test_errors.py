"""The error tree: codes, what each closes, and reply texts that fit on the wire."""

import pytest

from protocol import errors
from protocol.constants import REPLY_NAMES

SOFT = {
    errors.AccessRefused: 403,
    errors.NotFound: 404,
    errors.ResourceLocked: 405,
    errors.PreconditionFailed: 406,
}
HARD = {
    errors.ConnectionForced: 320,
    errors.LoginRefused: 403,
    errors.FrameError: 501,
    errors.CommandInvalid: 503,
    errors.ChannelMisuse: 504,
    errors.UnexpectedFrame: 505,
    errors.ResourceExhausted: 506,
    errors.NotAllowed: 530,
    errors.NotSupported: 540,
    errors.InternalError: 541,
}


@pytest.mark.parametrize(("error", "code"), [*SOFT.items(), *HARD.items()])
def test_codes(error: type[errors.AmqpError], code: int) -> None:
    """Each error has the reply code of the specification and is soft or hard as it says."""
    assert error.code == code
    assert issubclass(error, errors.SoftError) == (error in SOFT)
    assert issubclass(error, errors.HardError) == (error in HARD)
    assert code in REPLY_NAMES


def test_reply_text_names_the_code() -> None:
    """A reply text is the code's name, a dash and the reason, as RabbitMQ writes it."""
    error = errors.NotFound("no queue 'q' in vhost '/'")
    assert error.reply_text == b"NOT_FOUND - no queue 'q' in vhost '/'"
    assert errors.InternalError().reply_text == b"INTERNAL_ERROR"


def test_reply_text_fits_a_short_string() -> None:
    """A long reason is cut to 255 octets and shows that it was."""
    text = errors.PreconditionFailed("x" * 400).reply_text
    assert len(text) == 255
    assert text.endswith(b"x...")


@pytest.mark.parametrize("shift", range(4))
def test_reply_text_is_cut_between_characters(shift: int) -> None:
    """What is left of a long reason is still UTF-8, so that a client can decode it."""
    text = errors.NotFound("-" * shift + "☃" * 200).reply_text
    assert len(text) <= 255
    assert text.decode().endswith("☃...")

"""What can go wrong with a peer, as one tree of exceptions.

* ``AmqpError``                 a peer broke a rule; carries the reply code and text

  * ``SoftError``               closes the channel (spec: "soft error")

    * ``AccessRefused`` 403, ``NotFound`` 404, ``ResourceLocked`` 405,
      ``PreconditionFailed`` 406

  * ``HardError``               closes the connection (spec: "hard error")

    * ``ConnectionForced`` 320, ``LoginRefused`` 403, ``FrameError`` 501,
      ``CommandInvalid`` 503, ``ChannelMisuse`` 504, ``UnexpectedFrame`` 505,
      ``ResourceExhausted`` 506, ``NotAllowed`` 530, ``NotSupported`` 540,
      ``InternalError`` 541

* ``Drop``                      the socket goes without a frame, as RabbitMQ does it

Handlers raise; exactly one place, ``Connection.close_for``, turns an error into frames. Any
other exception that leaves a handler is a bug in Leveret and becomes ``InternalError``.
"""

from protocol.constants import REPLY_NAMES, SHORTSTR_MAX


class AmqpError(Exception):
    """A peer broke a rule: ``code`` and ``text`` go into the close method."""

    code = 541

    def __init__(self, text: str = "", *, about_method: bool = True) -> None:
        """``text`` without the code's name; ``about_method``: class and method id are sent."""
        super().__init__(text)
        self.text = text
        self.about_method = about_method

    @property
    def reply_text(self) -> bytes:
        """The reply text as RabbitMQ writes it, cut to a short string's 255 octets."""
        name = REPLY_NAMES[self.code]
        text = f"{name} - {self.text}" if self.text else name
        encoded = text.encode("utf-8", "surrogateescape")
        if len(encoded) > SHORTSTR_MAX:
            # Cut between characters: clients decode the text, and must not fail on it.
            encoded = encoded[: SHORTSTR_MAX - 3].decode(errors="ignore").encode() + b"..."
        return encoded


class SoftError(AmqpError):
    """Closes the channel it happened on; the connection goes on."""


class AccessRefused(SoftError):
    """403: the user lacks a permission, or the name is reserved."""

    code = 403


class NotFound(SoftError):
    """404: a queue or exchange does not exist."""

    code = 404


class ResourceLocked(SoftError):
    """405: the queue is exclusive to another connection."""

    code = 405


class PreconditionFailed(SoftError):
    """406: arguments or state do not fit what was asked."""

    code = 406


class HardError(AmqpError):
    """Closes the whole connection."""


class ConnectionForced(HardError):
    """320: the operator ended the connection."""

    code = 320


class LoginRefused(HardError):
    """403 on the connection: the credentials are wrong."""

    code = 403


class FrameError(HardError):
    """501: the octets are no frame, or a method's arguments do not decode."""

    code = 501


class CommandInvalid(HardError):
    """503: a method that only a server sends, or an exchange type nobody knows."""

    code = 503


class ChannelMisuse(HardError):
    """504: a method in a state that does not allow it."""

    code = 504


class UnexpectedFrame(HardError):
    """505: a frame of a type that cannot follow what came before."""

    code = 505


class ResourceExhausted(HardError):
    """506: the broker cannot hold what the peer asks for."""

    code = 506


class NotAllowed(HardError):
    """530: a limit or a vhost forbids it."""

    code = 530


class NotSupported(HardError):
    """540: a part of AMQP that RabbitMQ does not implement either."""

    code = 540


class InternalError(HardError):
    """541: a fault of the broker, or content nobody can parse."""

    code = 541


class Drop(Exception):
    """Close the socket with no AMQP frame, after ``delay_s`` seconds of silence.

    RabbitMQ answers errors before a connection is open, and methods nobody knows, this way;
    the delay keeps a guesser of passwords slow.
    """

    def __init__(self, reason: str, delay_s: float = 0.0) -> None:
        super().__init__(reason)
        self.delay_s = delay_s

"""Numbers of the AMQP 0-9-1 wire format (spec sections 2.3 and 4.2) and RabbitMQ's limits."""

from typing import Final

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
ACCEPTED_HEADERS: Final = {
    # What a RabbitMQ accepts as 0-9-1, with the version it then announces in connection.start.
    PROTOCOL_HEADER: (0, 9),
    b"AMQP\x01\x01\x00\x09": (0, 9),  # written by early Qpid clients
    b"AMQP\x01\x01\x08\x00": (8, 0),
    b"AMQP\x01\x01\x09\x01": (8, 0),
}

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
FRAME_OVERHEAD: Final = 8  # type, channel, size and the end octet

FRAME_MIN_SIZE: Final = 4096  # spec 4.2.3: every peer accepts frames of this size
CLASS_BASIC: Final = 60

SHORTSTR_MAX: Final = 255

# States of a connection, in the order a peer passes through them.
HEADER, STARTING, TUNING, OPENING, RUNNING, CLOSING, CLOSED = range(7)
STATE_NAMES: Final = ("header", "starting", "tuning", "opening", "running", "closing", "closed")

REPLY_NAMES: Final = {
    200: "REPLY_SUCCESS",
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}

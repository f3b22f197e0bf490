"""What ends a command early. Owns: `Failure`, and the exit codes, which are rabbitmqctl's.

They are those of sysexits.h, so a script that tells 67 from 69 goes on working.
"""

EX_USAGE = 64
"""The arguments make no sense; as with rabbitmqctl also: no such queue to delete."""
EX_DATAERR = 65
"""What was given is wrong: a password, the name of a vhost."""
EX_NOUSER = 67
EX_UNAVAILABLE = 69
"""The broker cannot be reached, a check failed, or it refused."""
EX_SOFTWARE = 70
"""What was to be made exists already."""
EX_TEMPFAIL = 75
"""It took longer than --timeout allows."""
EX_INTERRUPTED = 130
EX_PIPE = 141
"""As if SIGPIPE had ended it, which Python does not let happen."""


class Failure(Exception):
    """A command cannot do what it was asked; the text goes to standard error."""

    def __init__(self, text: str, exit_code: int = EX_UNAVAILABLE, detail: object = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.detail = detail
        """What takes the place of the text if the output is JSON."""


class NoBroker(Failure):
    """Nobody said which broker is meant, and none is where it usually is."""


class NoVhost(Failure):
    """The virtual host that a command is about does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Virtual host '{name}' does not exist", EX_DATAERR)


class WrongArgument(Failure):
    """The arguments are not what the command takes."""

    def __init__(self, text: str, exit_code: int = EX_DATAERR) -> None:
        super().__init__(text, exit_code)

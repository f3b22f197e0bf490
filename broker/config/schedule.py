"""Times at which something happens again and again, as newsyslog and RabbitMQ write them.

``$D0`` is each day at midnight, ``$D23H30`` each day at 23:30, ``$W0D5`` each Sunday at 5 o'clock,
``$M1D0`` the first of each month, ``$H00`` each full hour. Times are the machine's local ones.
"""

import datetime
import re
from dataclasses import dataclass

_TEXT = re.compile(
    r"\$(?:(?:W(?P<weekday>[0-6])|M(?P<day>[1-9]|[12]\d|3[01]))?D(?P<hour>\d|1\d|2[0-3])"
    r"(?:H(?P<minute>[0-5]?\d))?|H(?P<each>[0-5]?\d))"
)
_DAYS_MAX = 62  # the 31st may be this far away


@dataclass(frozen=True, slots=True)
class Schedule:
    """See the module. What is None may be anything."""

    text: str
    weekday: int | None  # Sunday is 0
    day: int | None  # of the month
    hour: int | None
    minute: int

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read one; ValueError with what it must be."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("a time such as $D0 (each midnight), $W0D23 (Sundays) or $H00")
        parts = {name: int(word) if word else None for name, word in found.groupdict().items()}
        minute = parts["minute"] if parts["each"] is None else parts["each"]
        return cls(text, parts["weekday"], parts["day"], parts["hour"], minute or 0)

    def __str__(self) -> str:
        return self.text

    def next_after(self, moment: datetime.datetime) -> datetime.datetime:
        """The first such time later than ``moment``."""
        if self.hour is None:
            time = moment.replace(minute=self.minute, second=0, microsecond=0)
            return time if time > moment else time + datetime.timedelta(hours=1)
        for days in range(_DAYS_MAX + 1):
            date = moment.date() + datetime.timedelta(days=days)
            time = datetime.datetime.combine(date, datetime.time(self.hour, self.minute))
            if time > moment and self._holds_on(date):
                return time
        raise AssertionError(f"no day fits {self.text}")

    def _holds_on(self, date: datetime.date) -> bool:
        return self.weekday in (None, date.isoweekday() % 7) and self.day in (None, date.day)

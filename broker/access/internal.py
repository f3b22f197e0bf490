"""The backend for users in the model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from broker.access.backend import Granted, Login, Refused
from broker.core.permissions import is_allowed
from broker.core.users import NOBODY

if TYPE_CHECKING:
    from broker.core.broker import Broker


class Internal:
    """See ``Backend``. Permissions are asked for each time, so a change holds at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def authenticate(self, login: Login) -> Granted:
        """Compare passwords, in the same time whether or not there is such a user."""
        user = self._broker.users.get(login.name, NOBODY)
        proven = login.password is None and user is not NOBODY
        if not proven and not user.has_password(login.password or b""):
            raise Refused(f"user '{login.name}' - invalid credentials")
        return await self.authorize(login)

    async def authorize(self, login: Login) -> Granted:
        """The user has to be there."""
        user = self._broker.users.get(login.name)
        if user is None:
            raise Refused(f"user '{login.name}' - not found")
        return Granted(
            user.name, partial(is_allowed, self._broker, user.name), frozenset(user.tags)
        )

    async def close(self) -> None:
        """Nothing is held."""

"""The socket for local administration: who may use it, and that any path will do."""

import os
from pathlib import Path

import pytest

from broker import local_socket


def test_mode_is_0600_whatever_the_umask(tmp_path: Path) -> None:
    """Nobody but the owner and root may connect, though the umask would let everybody."""
    before = os.umask(0)
    try:
        with local_socket.listen(tmp_path):
            mode = (tmp_path / local_socket.NAME).stat().st_mode
    finally:
        os.umask(before)
    assert mode & 0o777 == 0o600


def test_deep_directories_are_reached(tmp_path: Path) -> None:
    """A data directory whose path is longer than a socket's address can be used."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with local_socket.listen(deep) as listening, local_socket.connect(deep, 5) as client:
        client.sendall(b"x")
        server, _ = listening.accept()
        with server:
            assert server.recv(1) == b"x"


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed broker left behind does not keep the next from starting."""
    local_socket.listen(tmp_path).close()
    assert local_socket.owner(tmp_path) == os.geteuid()
    with pytest.raises(ConnectionRefusedError):
        local_socket.connect(tmp_path, 5)
    with local_socket.listen(tmp_path):
        local_socket.connect(tmp_path, 5).close()

"""The doors for HTTP: certificates that change are read again."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from broker.config import load
from broker.http import Doors
from broker.net import tls
from conformance.certificates import Certificates


def test_changed_certificates_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who connects after a certificate was replaced is shown the new one."""
    monkeypatch.setattr(tls, "INTERVAL_S", 0.01)
    certificates = Certificates(tmp_path)
    file = certificates.server()
    settings = ["management.ssl.port=0", f"management.ssl.certfile={file}"]
    config, _ = load(None, settings, {})

    async def serial(port: int) -> object:
        context = certificates.context()
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        peer = shown.getpeercert()
        writer.close()
        assert peer is not None
        return peer["serialNumber"]

    async def replace() -> tuple[object, object]:
        doors = Doors()
        shown = tls.Certificates("management.ssl", config.management_tls)
        await doors.open(web.Application(), "https", "127.0.0.1", 0, shown)
        port = doors.listening[0].port
        before = await serial(port)
        certificates.server()
        async with asyncio.timeout(10):
            while (after := await serial(port)) == before:
                pass
        await doors.close()
        return before, after

    before, after = asyncio.run(replace())
    assert before != after

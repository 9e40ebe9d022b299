"""What the tests of the store share."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.proxy import Proxy


@pytest.fixture
async def wire(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    """A cuttable wire to the server; its folder holds the socket that clients use."""
    real = parse_qs(urlsplit(postgres_url).query)
    folder = tmp_path_factory.mktemp("wire")
    name = f".s.PGSQL.{real['port'][0]}"
    proxy = Proxy.unix(str(folder / name), str(Path(real["host"][0]) / name))
    proxy.url = postgres_url.replace(quote(real["host"][0], safe=""), quote(str(folder), safe=""))
    await proxy.up()
    yield proxy
    await proxy.down()

"""The agent's secrets in a real Envoy: a renewed certificate is shown to new connections, and the ones that
are there go on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401  read from JSON below

from tests.wire.ads import serving
from tests.wire.test_ads_envoy import ADS, NODE, envoy, resource
from tulle.ads.cache import Cache
from tulle.ads.resource import LISTENER, SECRET
from tulle.agent.secrets import part, secrets_of
from tulle.identity import authority, spiffe
from tulle.identity.svid import Svid
from tulle.kit.clock import SystemClock

TYPES = "type.googleapis.com/envoy.extensions"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2"


def listener(socket: Path) -> Any:
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
        ],
    }
    tls = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": ADS}],
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": ADS},
        },
    }
    content = {
        "name": "in",
        "address": {"pipe": {"path": str(socket)}},
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }
        ],
    }
    return resource(LISTENER, "in", listener_pb2.Listener, content, [(SECRET, "default"), (SECRET, "ROOTCA")])


class Connection:
    """A client's mTLS connection, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.serial = x509.load_der_x509_certificate(peer).serial_number

    async def asks(self) -> bool:
        self._writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        return head.startswith(ANSWER) and await self._reader.readexactly(2) == b"ok"


@asynccontextmanager
async def connected(socket: Path, own: Svid, folder: Path) -> AsyncIterator[Connection]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=own.root_pem.decode())
    file = folder / "client.pem"
    file.write_bytes(own.key_pem + own.chain_pem)
    context.load_cert_chain(file)
    reader, writer = await asyncio.open_unix_connection(socket, ssl=context, server_hostname="")
    yield Connection(reader, writer)
    writer.close()


def serial(held: Svid) -> int:
    return x509.load_pem_x509_certificate(held.chain_pem).serial_number


async def test_a_renewed_certificate_breaks_no_connection(tmp_path: Path) -> None:
    signer = authority.create(tmp_path / "authority", "cluster.local", SystemClock())
    server_identity = spiffe.workload("cluster.local", "shop", "orders")
    own = signer.own(spiffe.workload("cluster.local", "shop", "storefront"))
    first, second = signer.own(server_identity), signer.own(server_identity)
    socket = tmp_path / "in.sock"
    cache = Cache()
    secrets = part("shop", "orders")
    cache.assign(NODE, ("part", secrets))
    cache.put(secrets, secrets_of(first))
    cache.put("part", [listener(socket)])
    async with serving(cache, tmp_path / "xds.sock") as server, envoy(tmp_path):
        assert (await server.wait_synced([NODE], 30)) == {}
        async with connected(socket, own, tmp_path) as old:
            assert await old.asks()
            assert old.serial == serial(first)
            cache.put(secrets, secrets_of(second))
            assert (await server.wait_synced([NODE], 30)) == {}
            async with connected(socket, own, tmp_path) as new:
                assert new.serial == serial(second)
                assert await new.asks()
            assert await old.asks()

"""Parts of the View -> named bytes. Pure: sorted, no clock, no randomness, no I/O.

Read by the composition root, which keeps each part in the cache as long as its value is the same.
"""

from __future__ import annotations

from tulle.xds.bundle import Translated
from tulle.xds.certificate import translate_certificate
from tulle.xds.endpoint import translate_endpoints
from tulle.xds.gateway import translate_gateway
from tulle.xds.inbound import translate_inbound
from tulle.xds.outbound import translate_outbound
from tulle.xds.proxyless import translate_proxyless

__all__ = [
    "Translated",
    "translate_certificate",
    "translate_endpoints",
    "translate_gateway",
    "translate_inbound",
    "translate_outbound",
    "translate_proxyless",
]

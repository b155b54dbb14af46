"""What DNS says about a name of the mesh. Pure; `dns.py` moves the bytes.

A name of the mesh is answered here, whatever its type, and so is every name under the cluster domain,
existing or not: the expansions by search domains (resolv.conf(5), ndots 5) must neither leave the host
nor wait for anybody. Everything else is for the machine's own resolver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from tulle.model.agentapi import OUTSIDE, NameTable

TTL_SECONDS = 5
"""As Kubernetes' DNS: a headless service's answer changes with its replicas, and a question costs one
round trip within the host."""
_OUTSIDE_TTL_SECONDS = 3600
"""Of the alias alone: what it leads to says itself how long it holds."""
PAYLOAD_BYTES = 1232
"""Over UDP, at most: fits every path without fragments (DNS flag day 2020)."""
_MOST_ALIASES = 8
_TRANSFERS = {dns.rdatatype.AXFR, dns.rdatatype.IXFR}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Not ours to answer. `target` is another name than was asked if an alias of the mesh led to it."""

    target: dns.name.Name
    response: dns.message.Message
    """The beginning of the answer: the aliases so far."""

    @property
    def aliased(self) -> bool:
        """Whether the answer has to be put together from ours and the resolver's."""
        return bool(self.response.answer)


class Names:
    """A `NameTable`, indexed for questions. Names are texts in lower case without the last dot: a table of
    ten thousand has to be taken in without a pause that a question would feel."""

    def __init__(self, table: NameTable) -> None:
        self._domain = table.cluster_domain.lower()
        self._addresses = {name.lower(): addresses for name, addresses in table.addresses.items()}
        self._aliases = {name.lower(): target for name, target in table.aliases.items()}
        self._above: set[str] = {self._domain}
        for name in (*self._addresses, *self._aliases):
            for above in _above(name):
                if above in self._above:
                    break
                self._above.add(above)
        self._reverse: dict[str, str] = {}
        for name in sorted(self._addresses):
            if not name.startswith("*"):
                for address in self._addresses[name]:
                    self._reverse.setdefault(address, name)
        self._outside = f".{OUTSIDE}.{self._domain}"
        self._authority = dns.rrset.from_text(
            f"{self._domain}.",
            TTL_SECONDS,
            "IN",
            "SOA",
            f"ns.dns.{self._domain}. hostmaster.{self._domain}. 1 7200 1800 86400 {TTL_SECONDS}",
        )

    def answer(self, query: dns.message.Message) -> dns.message.Message | Elsewhere:
        """Answer a query with exactly one question."""
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN or question.rdtype in _TRANSFERS:
            return response_to(query, dns.rcode.REFUSED)
        response = response_to(query)
        owner = self._reverse.get(_address_of(question.name) or "")
        if owner is not None:
            response.flags |= dns.flags.AA
            if question.rdtype in {dns.rdatatype.PTR, dns.rdatatype.ANY}:
                _add(response, question.name, dns.rdatatype.PTR, [f"{owner}."])
            return response
        name = question.name
        text = _text(name)
        if text.endswith(self._outside):
            target = text.removesuffix(self._outside)
            _add(response, name, dns.rdatatype.CNAME, [f"{target}."], _OUTSIDE_TTL_SECONDS)
            return Elsewhere(dns.name.from_text(target), response)
        for _ in range(_MOST_ALIASES):
            alias = self._aliases.get(_text(name))
            if alias is None:
                return self._end(name, question.rdtype, query.id, response)
            _add(response, name, dns.rdatatype.CNAME, [f"{alias.rstrip('.')}."])
            if question.rdtype == dns.rdatatype.CNAME:
                return response
            name = dns.name.from_text(alias)
        return response_to(query, dns.rcode.SERVFAIL)

    def _end(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, turn: int, response: dns.message.Message
    ) -> dns.message.Message | Elsewhere:
        """The end of the chain of aliases."""
        text = _text(name)
        addresses = self._addresses_of(text)
        inside = text == self._domain or text.endswith(f".{self._domain}")
        if addresses is None and not inside:
            return Elsewhere(name, response)
        response.flags |= dns.flags.AA
        if addresses and rdtype in {dns.rdatatype.A, dns.rdatatype.ANY}:
            # Whoever takes the first address takes another one each time.
            first = turn % len(addresses)
            _add(response, name, dns.rdatatype.A, [*addresses[first:], *addresses[:first]])
            return response
        if addresses is None and text not in self._above:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if inside:
            response.authority.append(self._authority)
        return response

    def _addresses_of(self, text: str) -> tuple[str, ...] | None:
        """None: no name of the mesh. A wildcard stands for every name under it, as in a ServiceEntry."""
        exact = self._addresses.get(text)
        if exact is not None:
            return exact
        wild = (self._addresses.get(f"*.{above}") for above in _above(text))
        return next((addresses for addresses in wild if addresses is not None), None)


def response_to(
    query: dns.message.Message, rcode: dns.rcode.Rcode = dns.rcode.NOERROR
) -> dns.message.Message:
    """An answer without content yet."""
    response = dns.message.make_response(query, recursion_available=True, our_payload=PAYLOAD_BYTES)
    response.set_rcode(rcode)
    return response


def own_answer(query: dns.message.Message, hostname: str, address: str) -> dns.message.Message | None:
    """The answer to who asks for its own host name; None for other questions."""
    question = query.question[0]
    if not hostname or _text(question.name) != hostname.lower():
        return None
    response = response_to(query)
    response.flags |= dns.flags.AA
    if question.rdtype in {dns.rdatatype.A, dns.rdatatype.ANY}:
        _add(response, question.name, dns.rdatatype.A, [address])
    return response


def joined(elsewhere: Elsewhere, answer: dns.message.Message) -> dns.message.Message:
    """Our aliases, followed by what the resolver said about their target."""
    response = elsewhere.response
    response.answer.extend(answer.answer)
    response.authority.extend(answer.authority)
    response.set_rcode(answer.rcode())
    return response


def wire(message: dns.message.Message) -> bytes:
    """The whole message, whatever the asker takes by UDP. Raises DNSException if it is too long for TCP."""
    return message.to_wire(max_size=65535)


def over_udp(query: dns.message.Message, answer: bytes) -> bytes:
    """The answer, or a truncated one if it is too large for what the asker takes: it asks again by TCP."""
    limit = min(max(query.payload, 512), PAYLOAD_BYTES) if query.edns >= 0 else 512
    if len(answer) <= limit:
        return answer
    truncated = response_to(query)
    truncated.flags |= dns.flags.TC
    return wire(truncated)


def _add(
    response: dns.message.Message,
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    values: list[str],
    ttl_seconds: int = TTL_SECONDS,
) -> None:
    response.answer.append(dns.rrset.from_text(name, ttl_seconds, "IN", rdtype, *values))


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _above(text: str) -> Iterator[str]:
    """The names above a name: they exist too, without records of their own (RFC 8020)."""
    while (dot := text.find(".")) >= 0:
        text = text[dot + 1 :]
        yield text


def _address_of(name: dns.name.Name) -> str | None:
    """The IPv4 address that a reverse name stands for (RFC 1035 3.5)."""
    if not name.is_subdomain(dns.reversename.ipv4_reverse_domain) or len(name) != 7:
        return None
    return ".".join(label.decode("ascii", "replace") for label in reversed(name.labels[:4]))

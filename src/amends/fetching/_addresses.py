"""Which addresses may be connected to. Pure: names are resolved elsewhere.

The lists are our own, from the special-purpose registries of IANA (RFC 6890), since what the standard library calls global
differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this host itself"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud's own agent"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("2001::/23", "reserved for protocols, Teredo among them"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "6to4, which stands for another address"),
        ("3fff::/20", "for documentation"),
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_IPV6: Final[tuple[tuple[IPv6Network, str], ...]] = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::/128", "this host itself"),
        ("::1/128", "this machine"),
        ("::ffff:0:0/96", "an IPv4 address in disguise"),
        ("::/96", "an IPv4 address in disguise"),
        ("64:ff9b:1::/48", "a local translation to IPv4"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "multicast"),
    )
)


class BadAllowance(ValueError):
    """What is to be allowed is neither a network nor a host."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets pass though it is not public: networks, and hosts wherever they lead."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowed:
        """Read ``10.1.0.0/16``, ``::1`` or ``files.internal``. Raises BadAllowance."""
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in entries:
            text = entry.strip().lower().rstrip(".")
            try:
                networks.append(ip_network(text, strict=False))
            except ValueError:
                if not text or "/" in text or ":" in text or not text.isascii():
                    raise BadAllowance(f"{entry!r} is neither a network, as 10.1.0.0/16, nor a host") from None
                hosts.add(text)
        return cls(tuple(networks), frozenset(hosts))

    def admits(self, host: str, address: Address) -> bool:
        """Whether a connection to ``address``, found under ``host``, was allowed by name or by network."""
        return host in self.hosts or any(
            network.version == address.version and address in network for network in self.networks
        )


def refusal_of(host: str, address: str, allowed: Allowed) -> str | None:
    """Why ``address``, which ``host`` leads to, may not be connected to; None where it may."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return "an address within one network link"
    if allowed.admits(host, parsed):
        return None
    return _closed(parsed)


def _closed(address: Address) -> str | None:
    for network, what in _CLOSED:
        if network.version == address.version and address in network:
            return what
    if isinstance(address, IPv4Address) or address in _GLOBAL_IPV6:
        return None
    if address in _NAT64:  # as good as the address it stands for
        return _closed(IPv4Address(int(address) & 0xFFFFFFFF))
    return next((what for network, what in _IPV6 if address in network), "not a public address")

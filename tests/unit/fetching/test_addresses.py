"""Where a fetch may connect to, and which URLs are read: the tricks that lead servers astray, all refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.fetching import Allowed, BadAllowance, BadUrl, read_url, refusal_of
from amends.fetching._targets import redirected

NOBODY = Allowed()

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "2606:4700::1%1",
    "", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4/32", "1.2.3.4 ",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert refusal_of("host.example", address, NOBODY)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_let_pass(address: str) -> None:
    assert refusal_of("host.example", address, NOBODY) is None


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_calls_private(address: ipaddress.IPv4Address) -> None:
    if refusal_of("host.example", str(address), NOBODY) is None:
        assert address.is_global or address in ipaddress.ip_network("64:ff9b::/96")
        assert not address.is_multicast


def test_what_is_allowed_passes_and_nothing_beside_it() -> None:
    allowed = Allowed.of(["10.1.0.0/16", "::1", "Files.Internal.", "192.168.7.7"])
    for host, address in (
        ("a.example", "10.1.2.3"),
        ("b", "::1"),
        ("files.internal", "127.0.0.1"),
        ("c", "192.168.7.7"),
    ):
        assert refusal_of(host, address, allowed) is None
    for host, address in (
        ("a.example", "10.2.0.1"),
        ("other.internal", "127.0.0.1"),
        ("x.files.internal", "127.0.0.1"),
        ("c", "192.168.7.8"),
        ("d", "::ffff:10.1.2.3"),
        ("files.internal", "fe80::1%eth0"),
    ):
        assert refusal_of(host, address, allowed)


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "a/b", "http://host", "host:80", "höst"])
def test_what_cannot_be_allowed_is_named(entry: str) -> None:
    with pytest.raises(BadAllowance, match="neither"):
        Allowed.of([entry])


REFUSED_URLS = [
    "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "data:,x",
    "jar:http://example.org/", "http:example.org", "http:///path", "http://", "https://user@example.org/",
    "https://user:secret@example.org/", "https://@example.org/", "http://good.example@127.0.0.1/",
    "http://good.example\\@127.0.0.1/", "http://127.0.0.1\\.good.example/", "http://exam ple.org/", "http://example.org/a b",
    "http://example.org/\r\nHost: x", "http://example.org/\x00", "\thttp://example.org/", "http://ex\tample.org/",
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/",
    "http://127.1/", "http://127.0.1/", "http://127.0.0.1.1/", "http://127.0.0.256/", "http://127.000.000.001/",
    "http://1.2.3.4.0x5/", "http://example.0x/", "http://[::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1/",
    "http://::1/", "http://[1.2.3.4]/", "http://[v1.x]/", "http://127%2e0.0.1/", "http://%31%32%37.0.0.1/",
    "http://exam..ple.org/", "http://.example.org/", "http://-a.example/", "http://example.org:0/",
    "http://example.org:/", "http://example.org:65536/", "http://example.org:80a/", "http://example.org:-1/",
    "http://a" + "a" * 64 + ".example/", "http://example.org/" + "a" * 8_200, "http://example.org/\ud800",
    "http://exam\u2028ple.org/",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_that_readers_could_take_for_another_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        read_url(url)


@pytest.mark.parametrize(
    ("url", "host", "address_refused"),
    [
        ("http://１２７.0.0.1/", "127.0.0.1", True),
        ("http://127。0。0。1/", "127.0.0.1", True),
        ("http://[::ffff:7f00:1]/", "::ffff:7f00:1", True),
        ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1", True),
        ("http://[2002:7f00:1::]/", "2002:7f00:1::", True),
        ("http://[0:0:0:0:0:0:0:1]/", "::1", True),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254", True),
        ("https://EXAMPLE.org.:8443/a?b=c#d", "example.org", False),
        ("https://bücher.example/ü?q=é", "xn--bcher-kva.example", False),
    ],
)
def test_a_host_is_known_by_one_name_however_it_is_written(url: str, host: str, address_refused: bool) -> None:
    target = read_url(url)
    assert target.host == host
    assert target.path.isascii()
    if address_refused:
        assert refusal_of(host, host, NOBODY)


def test_a_target_is_shown_without_its_query_and_names_its_host_as_http_does() -> None:
    target = read_url("https://example.org:8443/files/My%20scan.pdf?signature=secret#page")
    assert target.shown == "https://example.org:8443/files/My%20scan.pdf"
    assert target.authority == "example.org:8443"
    assert target.filename == "My scan.pdf"
    assert target.path == "/files/My%20scan.pdf?signature=secret"
    assert read_url("http://[2606:4700::1]/").authority == "[2606:4700::1]"


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.\[\]:@/\\%?#]{0,40}", fullmatch=True))
def test_any_text_is_a_plain_target_or_refused(url: str) -> None:
    try:
        target = read_url(url)
    except BadUrl:
        return
    assert target.scheme in ("http", "https")
    assert 1 <= target.port <= 65_535
    assert read_url(f"{target.scheme}://{target.authority}{target.path}") == target
    assert not set(target.path + target.authority) & set(" \r\n\t\\")


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "https://example.org/b"),
        ("c", "https://example.org/a/c"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example:8080/?q=1", "http://other.example:8080/"),
        ("?page=2", "https://example.org/a/b"),
        ("../../../x", "https://example.org/x"),
    ],
)
def test_a_redirect_leads_where_it_says(location: str, leads_to: str) -> None:
    assert redirected(read_url("https://example.org/a/b"), location).shown == leads_to


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://a:b@other.example/", "http://0x7f.1/", "gopher://x/", "http://a b/"]
)
def test_a_redirect_is_read_as_strictly_as_a_url(location: str) -> None:
    with pytest.raises(BadUrl):
        redirected(read_url("https://example.org/a/b"), location)


@given(st.text(max_size=60))
def test_a_redirect_to_any_text_is_followed_plainly_or_refused(location: str) -> None:
    try:
        target = redirected(read_url("https://example.org/a/b"), location)
    except BadUrl:
        return
    assert target.scheme in ("http", "https")

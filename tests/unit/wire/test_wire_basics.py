"""Numbers, addresses and checksums, compared with scapy's and Python's own."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv6Address

from hypothesis import example, given
from hypothesis import strategies as st
from scapy.utils import checksum as scapys

from wire import ethertype, mac
from wire.checksum import checksum, fold, words

MACS = st.integers(0, (1 << 48) - 1)


@given(st.binary(max_size=1600))
@example(b"")
@example(bytes(20))
@example(b"\xff\xff")
@example(b"\xff" * 21)
def test_the_checksum_is_that_of_scapy(data: bytes) -> None:
    assert checksum(data) == scapys(data)


@given(st.lists(st.binary(max_size=40).filter(lambda data: len(data) % 2 == 0), max_size=4))
def test_sums_of_parts_make_the_checksum_of_the_whole(parts: list[bytes]) -> None:
    assert fold(sum(map(words, parts))) == checksum(b"".join(parts))


@given(MACS)
def test_an_address_is_the_same_as_text_number_and_octets(number: int) -> None:
    text = mac.mac_text(number)
    assert mac.mac_number(text) == number
    assert mac.mac_octets(text) == number.to_bytes(6, "big")


def test_the_link_local_address_of_a_mac_address() -> None:
    # RFC 4291, appendix A
    assert IPv6Address(mac.link_local(mac.mac_number("34:56:78:9a:bc:de"))) == IPv6Address(
        "fe80::3656:78ff:fe9a:bcde"
    )


def test_an_ethertype_in_a_frame() -> None:
    assert ethertype.octets(ethertype.IPV6) == b"\x86\xdd"
    assert all(ethertype.octets(kind) in (b"\x08\x00", b"\x86\xdd") for kind in ethertype.OF_VERSION.values())


def test_importing_all_of_it_imports_no_typing() -> None:
    """Tens of functions' processes start at once, and typing would cost each milliseconds."""
    root = ethertype.__file__.rpartition("/wire/")[0]
    program = (
        "import os, sys; "
        "[__import__('wire.' + each[:-3]) for each in os.listdir('wire') if each.endswith('.py')]; "
        "sys.exit('typing' in sys.modules)"
    )
    alone = [sys.executable, "-E", "-s", "-S", "-c", program]
    assert subprocess.run(alone, cwd=root, timeout=60).returncode == 0

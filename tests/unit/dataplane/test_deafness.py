"""The batch that makes ports deaf, against pyroute2's decoding of nf_tables (the oracle)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_table_msg

from dataplane.fabric.deafness import closing, dropping
from linux.netlink import NLM_F_ACK


def messages(batch: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence number, the whole message) of each."""
    while batch:
        length, kind, flags, sequence = struct.unpack_from("=IHHI", batch)
        yield kind, flags, sequence, batch[:length]
        batch = batch[(length + 3) & ~3 :]


def test_each_device_gets_a_chain_that_drops_at_its_ingress() -> None:
    requests = list(messages(dropping(["s1-eth1", "_vx100"])))
    assert [kind for kind, *_ in requests] == [0x10, 10 << 8, 10 << 8 | 3, 10 << 8 | 3, 0x11]
    assert [sequence for _, _, sequence, _ in requests] == [0, 1, 2, 3, 4]
    assert [bool(flags & NLM_F_ACK) for _, flags, _, _ in requests] == [False, False, False, True, False]
    table = nft_table_msg(requests[1][3])
    table.decode()
    assert (table["nfgen_family"], table.get_attr("NFTA_TABLE_NAME")) == (5, "sdnlab")
    for (*_, data), device in zip(requests[2:4], ("s1-eth1", "_vx100"), strict=True):
        chain = nft_chain_msg(data)
        chain.decode()
        assert chain["nfgen_family"] == 5
        assert chain.get_attr("NFTA_CHAIN_TABLE") == "sdnlab"
        assert chain.get_attr("NFTA_CHAIN_NAME") == device
        assert chain.get_attr("NFTA_CHAIN_TYPE") == "filter"
        assert chain.get_attr("NFTA_CHAIN_POLICY") == 0  # NF_DROP
        hook = chain.get_attr("NFTA_CHAIN_HOOK")
        assert hook.get_attr("NFTA_HOOK_HOOKNUM") == 0  # NF_NETDEV_INGRESS
        assert hook.get_attr("NFTA_HOOK_DEV") == device


def test_a_functions_namespace_takes_nothing_that_is_sent_to_itself() -> None:
    requests = list(messages(closing()))
    assert [kind for kind, *_ in requests] == [0x10, 10 << 8, 10 << 8 | 3, 0x11]
    chain = nft_chain_msg(requests[2][3])
    chain.decode()
    assert chain["nfgen_family"] == 1  # inet: IPv4 and IPv6
    assert chain.get_attr("NFTA_CHAIN_POLICY") == 0  # NF_DROP
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    assert hook.get_attr("NFTA_HOOK_HOOKNUM") == 1  # NF_INET_LOCAL_IN
    assert hook.get_attr("NFTA_HOOK_DEV") is None

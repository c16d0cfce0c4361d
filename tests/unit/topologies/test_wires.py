"""What wires do: read, saved, and changed in a resolved topology."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from topologies.edit import Impossible, shape
from topologies.exporters.registry import EXPORTERS
from topologies.model.topology import Topology
from topologies.model.wires import Queue, Shaping, both_ways
from topologies.saving.tree import whole
from topologies.saving.yaml_text import written

FILE = b"""
switches: [s1, s2]
links: [s1 -- s2]
hosts: {h1: s1, h2: {switch: s2, bandwidth: 1mbit, queue: 9packets, from: {s2: {bandwidth: 2mbit}}}}
"""
shares = st.none() | st.integers(1, 1000).map(lambda number: number / 1000)


@st.composite
def ways(draw: st.DrawFn) -> Shaping:
    """One direction of a wire."""
    delay = draw(st.none() | st.integers(1, 60_000_000))
    bandwidth = draw(st.none() | st.integers(1000, 10**12))
    units = st.sampled_from(["packets", "us"])
    queues = st.none() | st.builds(Queue, amount=st.integers(1, 10**6), unit=units)
    bytes_ = st.builds(Queue, amount=st.integers(2000, 1 << 30), unit=st.just("bytes"))
    return Shaping(
        bandwidth=bandwidth,
        delay=delay,
        jitter=draw(st.none() | st.integers(1, delay)) if delay else None,
        loss=draw(shares),
        reorder=draw(shares) if delay else None,
        duplicate=draw(shares),
        corrupt=draw(shares),
        queue=draw(queues | bytes_) if bandwidth else None,
    )


def lab(**link: Any) -> Topology:
    topology = topologies.loads(FILE)
    (only,) = topology.links
    return topology.model_copy(update={"links": (only.model_copy(update=link),)})


@given(ways(), ways(), st.sampled_from([1500, 1501, 9000, 65000]))
def test_a_saved_wire_loads_to_the_same_one(forth: Shaping, back: Shaping, mtu: int) -> None:
    topology = lab(shaping=both_ways(forth, back), mtu=mtu)
    assert topologies.loads(written(whole(topology)).encode(), "lab.yaml") == topology


def test_equal_directions_are_one_value() -> None:
    fast = Shaping(bandwidth=1000)
    assert both_ways(fast, fast) == fast and both_ways(fast, fast).back is None
    assert Shaping(back=fast) and not Shaping(back=Shaping()) and not Shaping()
    assert Shaping(delay=3, back=Shaping(delay=1, jitter=1)).longest_delay == 3


def test_a_wire_is_changed_by_words_and_the_rest_stays() -> None:
    topology = topologies.loads(FILE)
    changed = shape(topology, "h2-s2", {"delay": "20ms", "loss": "1%"})
    forth, back = changed.hosts[1].shaping.ways
    assert (forth.bandwidth, forth.delay, forth.loss) == (1_000_000, 20_000, 0.01)
    assert (back.bandwidth, back.delay, back.queue) == (2_000_000, 20_000, Queue(amount=9, unit="packets"))
    back_only = shape(topology, "h2-s2", {"bandwidth": "5mbit"}, "s2").hosts[1].shaping
    assert [way.bandwidth for way in back_only.ways] == [1_000_000, 5_000_000]
    bare = shape(topology, "h2-s2", {"bandwidth": "none", "queue": "none"})
    assert not bare.hosts[1].shaping
    assert shape(bare, "h2-s2", {"delay": "0"}) == bare
    jumbo = shape(shape(topology, "s1-s2", {"mtu": "9000"}), "h1-s1", {"mtu": "9000"})
    assert (jumbo.links[0].mtu, jumbo.hosts[0].mtu, jumbo.hosts[1].mtu) == (9000, 9000, 1500)


@pytest.mark.parametrize(
    ("wire", "values", "source", "what"),
    [
        ("s1-s2", {"bw": "1mbit"}, "", "no 'bw'"),
        ("s1-s2", {"delay": "5"}, "", "no unit"),
        ("s1-s2", {"delay": "5ms"}, "h1", "does not end at 'h1'"),
        ("s1-s2", {"jitter": "5ms"}, "", "more than the delay"),
        ("s1-s2", {"queue": "5packets"}, "", "without a bandwidth"),
        ("h2-s2", {"bandwidth": "none"}, "", "without a bandwidth"),
        ("s1-s2", {"mtu": "1400"}, "", "carries packets of 1400"),
        ("h1-s1", {"mtu": "9000"}, "", "carries packets of 1500"),
        ("h1-s1", {"mtu": "1000"}, "", "IPv6"),
        ("h1-s1", {"mtu": "none"}, "", "none"),
        ("s9-s1", {"delay": "5ms"}, "", "no link 's9-s1'"),
    ],
)
def test_what_a_wire_cannot_do_is_refused(wire: str, values: dict[str, str], source: str, what: str) -> None:
    with pytest.raises(Impossible, match=what):
        shape(topologies.loads(FILE), wire, values, source)


def test_a_link_of_the_underlay_does_not_change_while_the_lab_runs() -> None:
    text = b"domains: [d1]\nswitches: [s1]\nhosts: {h1: s1}\nunderlay: {}\n"
    with pytest.raises(Impossible, match="underlay"):
        shape(topologies.loads(text), "d1-r1", {"delay": "5ms"})


def test_jumbo_frames_fit_everywhere_without_another_key() -> None:
    text = """
domains: [d1, d2]
switches: {s1: {domain: d1}, s2: {domain: d1}, s3: {domain: d2}}
links: [s1 -- s2]
hosts: {h1: {switch: s1, mtu: 9000}, h2: {switch: s3, mtu: 9000}, h3: s2}
"""
    topology = topologies.loads(text)
    assert topology.underlay is not None and topology.underlay.mtu == 9100
    assert topology.links[0].mtu == 9000 and topology.hosts[2].mtu == 1500
    with pytest.raises(topologies.Invalid, match="leaves 1550"):
        topologies.loads(text + "underlay: {mtu: 1600}\n")


def test_other_formats_say_what_they_leave_out() -> None:
    topology = lab(shaping=Shaping(bandwidth=1000, jitter=None, corrupt=0.5), mtu=2000)
    for exporter in EXPORTERS:
        losses = "\n".join(exporter.write(topology).losses)
        assert "link s1-s2: jitter, reorder, duplicate, corrupt, queue" in losses
        assert "link s1-s2: its MTU 2000" in losses

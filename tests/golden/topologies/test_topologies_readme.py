"""What topologies/README.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import topologies
from topologies.syntax import specification
from topologies.syntax.checks_specification import VERBS

README = (Path(topologies.__file__).parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)


def test_the_first_example_loads() -> None:
    topology = topologies.loads(BLOCKS[0][1])
    assert (topology.hosts[0].mac, str(topology.hosts[1].ipv6)) == ("02:00:00:00:00:01", "fd00::2/64")


def test_the_forms_of_a_link_load() -> None:
    (links,) = [text for kind, text in BLOCKS if kind == "yaml" and text.startswith("links:")]
    topology = topologies.loads(f"switches: [s1, s2, s3]\n{links}\n")
    assert [link.name for link in topology.links] == ["s1-s2", "s1-s2#2", "s1-s3"]


def test_the_problems_are_real() -> None:
    index = next(n for n, (kind, text) in enumerate(BLOCKS) if "exercise.yaml:" in text)
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(BLOCKS[index - 1][1], "exercise.yaml")
    assert str(caught.value) == BLOCKS[index][1]


def test_every_key_is_documented() -> None:
    documented = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", README, re.MULTILINE))))
    known = set(specification.keys_at(()))
    for section in (
        "controllers",
        "networks",
        "switches",
        "hosts",
        "links",
        "routers",
        "functions",
        "chains",
    ):
        known |= set(specification.keys_at((section, "x")))
    known |= set(specification.keys_at(("underlay",)))
    known |= set(specification.keys_at(("outside",)))
    known |= set(specification.keys_at(("functions", "x", "rules", 0)))
    for section in ("pools", "volumes"):
        known |= set(specification.keys_at(("storage", section, "x")))
    known |= {key for verb in VERBS for key in (verb, *specification.keys_at(("checks", 0, verb)))}
    known |= set(specification.keys_at(("checks", 0)))
    assert documented == known


def test_the_checks_load() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "yaml" and "\nchecks:" in text]
    topology = topologies.loads(f"switches: [s1]\nhosts: {{h1: s1, h2: s1, h3: s1, h4: s1}}\n{text}\n")
    assert [check.name for check in topology.checks] == [
        "red reaches red",
        "no ssh into h3",
        "red and h4 are isolated",
        "h1: curl -s http://h2/: exit code 0, output matches '^h2'",
    ]


def test_the_storage_loads() -> None:
    (storage,) = [text for kind, text in BLOCKS if kind == "yaml" and "\nstorage:" in text]
    topology = topologies.loads(f"switches: [s1, s2]\n{storage}\n")
    assert [volume.adapter for volume in topology.storage.volumes] == ["web1-disk"]


def test_the_forms_of_functions_and_chains_load() -> None:
    functions, chains = (
        text for kind, text in BLOCKS if kind == "yaml" and text.startswith(("functions:", "chains:"))
    )
    lab = "switches: [s1, s2]\nhosts: {client: s1, web1: s2, web2: s2, web3: s2}\ngroups: {servers: web1}\n"
    limit = "  limit: {kind: rate-limiter, switch: s2, bandwidth: 10mbit}\n"
    topology = topologies.loads(f"{lab}{functions}\n{limit}{chains}\n")
    assert [function.name for function in topology.functions] == ["fw", "lb", "limit"]
    assert topology.chains[1].functions == ("fw", "limit", "lb")

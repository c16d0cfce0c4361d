"""The text for nft: what stands in it, and that nft itself takes it (``nft -c`` changes nothing)."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_network

import pytest
from hypothesis import given, settings

from nfv.firewall.process import completed, counts_by_comment
from nfv.firewall.ruleset import comment, template
from tests.unit.nfv.test_firewall_match import rules
from topologies.model.functions import Firewall, Rule

NETWORK = ("unshare", "-rn")
NFT = shutil.which("nft") or "/usr/sbin/nft"


def can_check() -> bool:
    try:
        done = subprocess.run([*NETWORK, NFT, "list", "tables"], capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0


needs_nft = pytest.mark.skipif(not can_check(), reason="needs nft, and a network namespace to ask it in")


def test_a_small_one() -> None:
    text = template(
        Firewall(
            rules=(
                Rule(name="web", action="accept", protocol="tcp", destination_ports=((80, 80), (8000, 8080))),
                Rule(
                    name='slow" drop',
                    action="accept",
                    source=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
                    rate=100,
                    log=True,
                ),
            ),
            default="reject",
        )
    )
    judge = text.partition("chain judge {\n")[2].partition("}\nchain")[0].splitlines()
    assert judge == [
        'meta l4proto tcp ct original proto-dst { 80, 8000-8080 } counter goto accepted comment "0: web"',
        'ct l3proto ipv4 ct original ip saddr { 10.0.0.0/8 } counter goto rule1 comment "1: slow? drop"',
        'ct l3proto ipv6 ct original ip6 saddr { fd00::/8 } counter goto rule1 comment "1: slow? drop"',
        'counter goto refused comment "default"',
    ]
    own = text.partition("chain rule1 {\n")[2].partition("\n}")[0].splitlines()
    assert own == [
        "ct mark 0 limit rate over 100/second burst 10 packets counter name dropped drop",
        "ct mark 0 limit rate 500/second burst 500 packets"
        ' log prefix "1" group 1 snaplen 128 queue-threshold 1',
        "goto accepted",
    ]


def test_generations_never_share_a_mark() -> None:
    marks = [
        completed("@ACCEPTED@ @DENIED@ @REFUSED@", "inet", generation).split()
        for generation in (0, 1, 2, (1 << 30) - 1)
    ]
    flat = [int(mark) for of_generation in marks for mark in of_generation]
    assert len(set(flat)) == len(flat)
    assert all(0 < mark < 1 << 32 for mark in flat)


@needs_nft
@settings(max_examples=25)
@given(rules)
def test_nft_takes_any(some: tuple[Rule, ...]) -> None:
    text = completed(template(Firewall(rules=some)), "inet", 1)
    done = subprocess.run([*NETWORK, NFT, "-f", "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


@needs_nft
@pytest.mark.parametrize(
    "name", ['"; drop', "\\", "a\nb", "x" * 300, "ümläut" * 40, "", "@ACCEPTED@", "$a {b}"]
)
@pytest.mark.parametrize("count", [1, 6])
def test_nft_lists_rules_by_any_name(name: str, count: int) -> None:
    """One by one, and where rules are merged into a map, by the elements' comments."""
    some = tuple(
        Rule(name=name, action="drop", protocol="tcp", destination_ports=((port, port),))
        for port in range(count)
    )
    text = completed(template(Firewall(rules=some)), "inet", 1)
    script = f"{NFT} -f - && {NFT} list ruleset"
    done = subprocess.run([*NETWORK, "sh", "-c", script], input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    for number, rule in enumerate(some):
        assert f'comment "{comment(number, rule)}"' in done.stdout


def test_counts_of_rules_and_elements() -> None:
    listed = [
        {"rule": {"comment": "3: a:b", "expr": [{"counter": {"packets": 2, "bytes": 9}}]}},
        {"rule": {"comment": "3", "expr": [{"match": {}}, {"counter": {"packets": 5, "bytes": 9}}]}},
        {"rule": {"expr": [{"counter": {"packets": 50, "bytes": 9}}]}},
        {
            "map": {
                "elem": [[{"elem": {"val": 1, "comment": "4: web", "counter": {"packets": 7}}}, {"goto": {}}]]
            }
        },
    ]
    assert counts_by_comment(listed) == {"3": 7, "4": 7}

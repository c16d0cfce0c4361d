"""Networks, underlay and tunnels as people see them, and where a capture listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

import topologies
from controller import answers
from controller.messages import AllProgrammed
from dataplane.plan.lab import plan
from lab.cli.capture import arguments, check_filter, without_probes
from lab.cli.rendering import lab as render
from lab.cli.rendering import overlay as render_overlay
from lab.cli.say import Paint
from lab.failure import Failure
from lab.messages.lab import OverlayState, Status
from lab.supervisor.capture import ANY, device_to_capture, names
from lab.supervisor.controller import Programming
from lab.supervisor.runnable import settled_tunnels
from lab.views import overlay as supervisor_overlay
from lab.views.links import link_between
from tests.unit.lab.lab_values import STATUS

PLAIN = Paint(False)
TWO = topologies.load(Path(topologies.__file__).parent / "two-domains.yaml")
FIVE = topologies.load(Path(topologies.__file__).parent / "multi-domain.yaml")


def status(links: dict[str, bool] | None = None) -> Status:
    lab = settled_tunnels(TWO)
    views = {
        "networks": supervisor_overlay.networks(lab),
        "underlay": supervisor_overlay.underlay(lab, links or {}),
    }
    return {**STATUS, **views}  # type: ignore[typeddict-item]


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_status_shows_networks_members_and_vteps() -> None:
    page = render.status(status({"d2-r1": False}), PLAIN, 1000.0)
    assert "blue     100  10.0.0.0/24 fd00::/64  -       blue1, blue3  d1, d2 (over the underlay)" in page
    assert ["d1", "198.19.0.1", "vtep-d1", "1", "of", "1", "links", "up"] in cells(page)
    assert ["d2", "198.19.0.2", "vtep-d2", "0", "of", "1", "links", "up"] in cells(page)
    assert ["d2-r1", "d2", "r1", "down"] in cells(page)
    assert "the kernel's vxlan devices" in page


def test_a_lab_without_underlay_is_shown_as_before() -> None:
    page = render.status(STATUS, PLAIN, 1000.0)
    assert "VNI" not in page and "VTEP" not in page
    assert "no underlay" in render_overlay.overlay(STATUS, {"mesh": [], "flooded": []}, PLAIN)


def test_routers_are_shown_with_their_gateways() -> None:
    networks = {network["name"]: network for network in supervisor_overlay.networks(FIVE)}
    assert (networks["web"]["router"], networks["web"]["gateway4"]) == ("office", "10.1.1.254")
    assert networks["lab"]["router"] is None and networks["guests"]["subnet4"] is None


def test_what_the_controller_counted_is_passed_on_as_it_is() -> None:
    way = answers.TunnelState("d1", "d2", "198.19.0.1", "198.19.0.2", "blue", 100, 3, 300)
    answer = answers.OverlayState([way], [answers.FloodState("d1", "blue", 100, 1, 60)])
    said = supervisor_overlay.carried(answer)
    assert said == TypeAdapter(answers.OverlayState).dump_python(answer, mode="json")
    assert TypeAdapter(OverlayState).validate_python(said, strict=True) == said


def test_the_mesh_adds_up() -> None:
    state: OverlayState = {
        "mesh": [
            {
                "source": "d1", "target": "d2", "from_address": "198.19.0.1", "to_address": "198.19.0.2",
                "network": "blue", "vni": 100, "packets": 3, "bytes": 1_400_000,
            }
        ],
        "flooded": [{"domain": "d1", "network": "blue", "vni": 100, "packets": 0, "bytes": 0}],
    }  # fmt: skip
    page = render_overlay.overlay(status(), state, PLAIN)
    assert ["blue", "100", "d1", "198.19.0.1", "d2", "198.19.0.2", "3", "1.4", "MB"] in cells(page)
    assert page.endswith("3 packets, 1.4 MB in inner frames") and "TO ALL" not in page


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**13, "10.0 TB")]
)
def test_sizes(number: int, text: str) -> None:
    assert render_overlay.size(number) == text


def test_underlay_links_are_found_by_their_ends() -> None:
    assert link_between(status(), {}, "r1", "d2") == "d2-r1"
    with pytest.raises(Failure, match="there is no link between d1 and d2"):
        link_between(status(), {}, "d1", "d2")


def test_auto_is_what_labs_have_been_tried_on() -> None:
    assert settled_tunnels(TWO).underlay.tunnels == "kernel"  # type: ignore[union-attr]
    assert TWO.underlay is not None
    asked = TWO.model_copy(update={"underlay": TWO.underlay.model_copy(update={"tunnels": "ovs"})})
    with pytest.raises(Failure, match="userspace datapath"):
        settled_tunnels(asked)


def test_where_a_capture_listens() -> None:
    planned = plan(TWO)
    place = device_to_capture(planned, "blue1")
    assert place is not None and (place["netns"], place["device"]) == ("blue1", "blue1-eth0")
    wire = device_to_capture(planned, "blue1-s1")
    assert wire is not None and (wire["netns"], wire["device"]) == ("domain-d1", "s1-eth1")
    link = device_to_capture(planned, "d1-r1")
    assert link is not None and (link["netns"], link["device"]) == ("underlay-d1", "d1-r1")
    node = device_to_capture(planned, "r1")
    assert node is not None and (node["netns"], node["device"]) == ("router-r1", ANY)
    assert device_to_capture(planned, "s1") is None, "a switch needs a mirror"
    with pytest.raises(KeyError):
        device_to_capture(planned, "nobody")
    for name in names(planned):
        device_to_capture(planned, name)


def test_tcpdumps_arguments() -> None:
    words = arguments("/usr/bin/tcpdump", True)
    assert words[:5] == ["/usr/bin/tcpdump", "-r", "-", "-n", "-l"] and "-v" in words
    assert "-v" not in arguments("tcpdump", False)


def test_probes_are_left_out_of_any_filter() -> None:
    assert without_probes("", True) == "not ether proto 0x88b5"
    assert without_probes("icmp or arp", True) == "not ether proto 0x88b5 and (icmp or arp)"
    frames = without_probes("icmp or arp", False)
    assert frames == "not (ether proto 0x88b5 and ether src 02:53:44:4e:00:00) and (icmp or arp)"


def test_a_filter_is_checked_before_anything_is_set_up(tmp_path: Path) -> None:
    fake = tmp_path / "tcpdump"
    fake.write_text("#!/bin/sh\necho 'tcpdump: syntax error' >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(Failure, match="syntax error"):
        check_filter(str(fake), "nonsense")


def test_programming_knows_for_which_intent_it_last_settled() -> None:
    state = Programming()
    state.take(AllProgrammed(0.1, intent=9))
    assert state.settled == 9 and state.converged
    state.reset()  # its successor has yet to say so
    assert state.settled == 0

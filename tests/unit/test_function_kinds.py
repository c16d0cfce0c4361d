"""Each kind of network function is told once on each floor, and what is told agrees."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import pytest
from pydantic import ValidationError

import topologies
from controller.compiler.functions.registry import HOPS
from lab.views.kinds import TOLD
from nfv.kinds import PROGRAMS, PROGRAMS_OF_LABS
from topologies.model import kinds
from topologies.model.attachment import Flows, Inline, InlineInstance
from topologies.model.function_json import Written
from topologies.model.functions import Firewall, Function, RateLimit
from topologies.model.kinds import MODELS, Bridge, FirewallFunction, RateLimiter, function_of, taking
from topologies.model.topology import Port, Topology
from topologies.model.values import Frozen
from topologies.resolve.kinds.context import Context
from topologies.resolve.kinds.registry import RESOLUTIONS, Resolution, inline
from topologies.syntax import specification
from topologies.syntax.service_specification import KINDS, Engine, FunctionSpec

COMMON: dict[str, Any] = {"name": "f", "engine": "openflow", "attachment": Flows(switch="s1")}
WRITTEN: dict[str, Any] = {"name": "f", "engine": "openflow", "mode": "flows", "switch": "s1"}


def lab(*functions: Function) -> Topology:
    return Topology(name="lab", domains=(), networks=(), switches=(), links=(), hosts=(), functions=functions)


def test_each_floor_knows_the_same_kinds() -> None:
    assert list(MODELS) == list(KINDS)
    assert RESOLUTIONS.keys() == MODELS.keys()
    engines = {(kind, engine.name) for kind, some in KINDS.items() for engine in some}
    processes = PROGRAMS.keys() | PROGRAMS_OF_LABS.keys()
    assert processes <= engines and not PROGRAMS.keys() & PROGRAMS_OF_LABS.keys()
    # what no process does the switches do, and the other way round but for what both do together
    assert {kind for kind, _ in engines - processes} <= HOPS.keys() <= MODELS.keys()
    for kind, model in MODELS.items():
        assert get_args(model.model_fields["kind"].annotation) == (kind,)
        own = set(model.model_fields) - set(Function.model_fields)
        assert own == ({RESOLUTIONS[kind].part} if RESOLUTIONS[kind].part else set())
        assert (kind in TOLD) == bool(own)


def test_a_function_is_of_the_class_that_its_kind_names() -> None:
    firewall = function_of(kind="firewall", firewall=Firewall(rules=()), **COMMON)
    assert isinstance(firewall, FirewallFunction)
    assert firewall.part == Firewall(rules=())
    with pytest.raises(TypeError, match="abstract"):
        Function(kind="bridge", **COMMON)  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "toaster"}, "'toaster' is no kind of function: known are firewall, load-balancer, nat"),
        ({}, "None is no kind of function"),
        ({"kind": ["nat"]}, "is no kind of function"),
        ({"kind": "firewall"}, "firewall\n  Field required"),
        ({"kind": "bridge", "firewall": Firewall(rules=())}, "firewall\n  Extra inputs are not permitted"),
        ({"kind": "rate-limiter", "rate": None}, "rate\n"),
    ],
)
def test_a_part_that_is_not_the_kinds_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + words):
        function_of(**COMMON, **fields)
    with pytest.raises(ValidationError, match="(?s)" + words.rpartition("\n  ")[2]):
        Topology.model_validate({**lab().model_dump(), "functions": [{**WRITTEN, **fields}]})


def test_what_one_end_writes_the_other_reads() -> None:
    port = Port(switch="s1", number=1)
    limit = function_of(
        kind="rate-limiter",
        name="slow", engine="kernel", rate=RateLimit(bandwidth=1000),
        attachment=Inline(
            switch="s1", instances=(InlineInstance(name="slow.1", inward=port, outward=port),)
        ),
    )  # fmt: skip
    wire = function_of(kind="bridge", name="wire", engine="kernel", attachment=Inline(switch="s1"))
    topology = lab(wire, limit)
    text = topology.model_dump_json()
    assert Topology.model_validate_json(text) == topology
    assert Topology.model_validate(topology.model_dump(mode="json")) == topology
    written = json.loads(text)["functions"]
    assert written[1]["rate"] == {"bandwidth": 1000, "burst": 65536}
    assert set(written[0]) == {*Function.model_fields, *Written.model_fields} - {"attachment"}


def test_an_entry_takes_functions_of_its_class_alone() -> None:
    entry = taking(RateLimiter, lambda function: function.rate.bandwidth)
    assert entry(RateLimiter(kind="rate-limiter", rate=RateLimit(bandwidth=7), **COMMON)) == 7
    with pytest.raises(TypeError, match="function f: a Bridge, no RateLimiter"):
        entry(Bridge(kind="bridge", **COMMON))


class Diode(Function):
    """What a test adds: a kind of function that the product does not have."""

    kind: Literal["diode"]

    @property
    def part(self) -> None:
        return None


def test_a_kind_is_added_by_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds.MODELS, "diode", Diode)
    monkeypatch.setitem(KINDS, "diode", (Engine("kernel", ("switch",)),))
    monkeypatch.setitem(RESOLUTIONS, "diode", Resolution(inline))
    text = b"switches: [s1]\nhosts: {h1: s1, h2: s1}\nfunctions: {d: {kind: diode, switch: s1}}\n"
    topology = topologies.loads(text, "lab.yaml")
    assert [type(function) for function in topology.functions] == [Diode]
    assert topology.functions[0].instances[0].name == "d.1"
    assert Topology.model_validate_json(topology.model_dump_json()) == topology
    with pytest.raises(topologies.Invalid, match="a diode has no key 'bandwidth'"):
        topologies.loads(text.replace(b"switch: s1}}", b"switch: s1, bandwidth: 1mbit}}"), "lab.yaml")


class Lamp(Frozen):
    colour: str


class LampFunction(Function):
    kind: Literal["lamp"]
    lamp: Lamp

    @property
    def part(self) -> Lamp:
        return self.lamp


def test_a_kind_has_keys_that_no_other_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def lamp(name: str, spec: FunctionSpec, context: Context) -> Lamp | None:
        colour = spec.own.get("colour")
        if colour != "red":
            context.report.add(("functions", name, "colour"), "a lamp is red", "red", "write colour: red")
            return None
        return Lamp(colour=colour)

    monkeypatch.setitem(kinds.MODELS, "lamp", LampFunction)
    monkeypatch.setitem(KINDS, "lamp", (Engine("led", ("switch", "colour")), Engine("gas", ("switch",))))
    monkeypatch.setitem(RESOLUTIONS, "lamp", Resolution(inline, "lamp", lamp))

    def problems(function: str) -> list[str]:
        text = f"switches: [s1]\nhosts: {{h1: s1}}\nfunctions:\n  f: {{{function}, switch: s1}}\n"
        try:
            (loaded,) = topologies.loads(text.encode(), "lab.yaml").functions
        except topologies.Invalid as invalid:
            return [f"{problem.line} {problem.path}: {problem.message}" for problem in invalid.problems]
        assert loaded.part == Lamp(colour="red")
        return []

    assert problems("kind: lamp, colour: red") == []
    assert problems("kind: lamp, colour: [red]") == ["4 functions.f.colour: a lamp is red"]
    assert problems("kind: lamp, colour: red, color: red") == ["4 functions.f.color: unknown key 'color'"]
    assert problems("kind: lamp, colour: red, engine: gas") == [
        "4 functions.f.colour: a lamp with engine gas has no key 'colour'"
    ]
    assert problems("kind: bridge, colour: red") == ["4 functions.f.colour: unknown key 'colour'"]
    assert problems("kind: lampp, colour: red") == ["4 functions.f.kind: 'lampp' is no kind of function"]
    function = specification.schema()["$defs"]["FunctionSpec"]["properties"]
    assert "lamp" in str(function["kind"]) and "colour" in function

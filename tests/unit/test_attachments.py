"""How functions are attached: what JSON says of it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import topologies
from topologies import shipped
from topologies.model.attachment import (
    AtPorts,
    Attachment,
    EndSystem,
    Flows,
    Inline,
    InlineInstance,
    Mode,
    Tap,
    TapInstance,
)
from topologies.model.function_json import Written, read, write
from topologies.model.functions import Ids
from topologies.model.kinds import function_of
from topologies.model.topology import Port, Topology

GOOD = Path(__file__).parents[1] / "golden" / "topologies" / "good"
FILES = [*map(shipped.path, shipped.names()), *sorted(GOOD.glob("*.yaml"))]

P1, P2 = Port(switch="s1", number=1), Port(switch="s1", number=2)
WRITTEN_P1, WRITTEN_P2 = {"switch": "s1", "number": 1}, {"switch": "s1", "number": 2}
EMPTY: dict[str, Any] = {"networks": [], "instances": [], "mirrors": [], "path": 0}
FORMS: list[tuple[Attachment, dict[str, Any]]] = [
    (
        Inline(switch="s1", instances=(InlineInstance(name="f.1", inward=P1, outward=P2),)),
        {
            "mode": "inline",
            "switch": "s1",
            "instances": [{"name": "f.1", "inward": WRITTEN_P1, "outward": WRITTEN_P2}],
        },
    ),
    (
        Tap(switch="s1", instances=(TapInstance(name="f.1", inward=P1),), mirrors=("lan", "h1"), path=3),
        {
            "mode": "tap",
            "switch": "s1",
            "instances": [{"name": "f.1", "inward": WRITTEN_P1, "outward": None}],
            "mirrors": ["lan", "h1"],
            "path": 3,
        },
    ),
    (Flows(switch="s1"), {"mode": "flows", "switch": "s1"}),
    (AtPorts(networks=("lan",)), {"mode": "ports", "switch": None, "networks": ["lan"]}),
    (EndSystem(switch="s1"), {"mode": "host", "switch": "s1"}),
]


def lab(**fields: Any) -> dict[str, Any]:
    bare = {"name": "lab", "domains": [], "networks": [], "switches": [], "links": [], "hosts": []}
    return {**bare, "functions": [fields]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_one_process_writes_another_reads(path: Path) -> None:
    topology = topologies.load(path)
    assert Topology.model_validate_json(topology.model_dump_json()) == topology
    assert Topology.model_validate(topology.model_dump(mode="json")) == topology
    assert Topology.model_validate_json(topology.model_dump_json(exclude_defaults=True)) == topology
    for function in topology.functions:
        assert read(write(function.attachment).model_dump()) == function.attachment


def test_all_attachments_are_among_what_is_loaded() -> None:
    """So the test above is one of all of them."""
    attachments = [function.attachment for path in FILES for function in topologies.load(path).functions]
    assert {type(attachment) for attachment in attachments} == set(get_args(Attachment))


def test_each_attachment_has_a_form_of_its_own_in_json() -> None:
    assert tuple(keys["mode"] for _, keys in FORMS) == get_args(Mode)
    for attachment, keys in FORMS:
        assert write(attachment).model_dump(mode="json") == EMPTY | keys
        assert read(keys) == read(EMPTY | keys) == attachment
    assert len({attachment for attachment, _ in FORMS}) == len(FORMS)


def test_a_function_is_written_with_the_keys_in_one_order() -> None:
    tap = function_of(name="f", kind="ids", engine="suricata", attachment=FORMS[1][0], ids=Ids(rules=""))
    written = Topology(**{**lab(), "functions": (tap,)}).model_dump(mode="json")["functions"][0]
    assert list(written) == ["name", "kind", "engine", *Written.model_fields, "on_failure", "ids"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"mode": "sideways", "switch": "s1"}, "mode\n  Input should be 'inline', 'tap', 'flows', 'ports'"),
        ({"mode": "flows"}, "switch\n  Field required"),
        ({"mode": "flows", "switch": None}, "it needs a switch"),
        (
            {"mode": "flows", "switch": "s1", "networks": ["lan"]},
            "networks: a function of mode flows has none",
        ),
        (
            {"mode": "inline", "switch": "s1", "mirrors": ["h1"]},
            "mirrors: a function of mode inline has none",
        ),
        ({"mode": "ports", "switch": "s1"}, "switch: a function of mode ports has none"),
        ({**FORMS[0][1], "mode": "tap"}, "instance f.1: an inline one has two ports, a tap has one"),
        ({**FORMS[1][1], "mode": "inline", "mirrors": [], "path": 0}, "f.1: an inline one has two ports"),
        ({"attachment": {"switch": "s1"}}, "attachment: a function has mode and switch in its place"),
    ],
)
def test_keys_that_are_no_attachment_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match="(?s)" + words):
        Topology.model_validate(lab(name="f", kind="bridge", engine="kernel", **keys))


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_of_a_function_is_that_of_its_json(mode: Any) -> None:
    schema = Topology.model_json_schema(mode=mode)["$defs"]
    own = ["name", "kind", "engine"]
    assert list(schema["Function"]["properties"]) == [*own, *Written.model_fields, "on_failure"]
    assert schema["Function"]["required"] == [*own, "mode", "switch"]
    assert schema["Function"]["properties"]["mode"]["enum"] == list(get_args(Mode))
    assert schema["Instance"]["required"] == ["name", "inward"]
    assert not {"Inline", "Written"} & set(schema)

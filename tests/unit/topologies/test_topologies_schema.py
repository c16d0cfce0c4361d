"""The JSON schema for editors: it takes what the loader takes, and refuses typing errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import topologies
from topologies.syntax import specification

SHIPPED = sorted(Path(topologies.__file__).parent.glob("*.yaml"))
GOLDEN = Path(__file__).parents[2] / "golden" / "topologies"
# An editor's YAML 1.2 reads these values as PyYAML's 1.1 does not
GOOD = [path for path in sorted((GOLDEN / "good").glob("*.yaml")) if path.name != "yaml-traps.yaml"]
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "null": type(None), "boolean": bool,
}  # fmt: skip
KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "maximum", "examples", "exclusiveMaximum", "items", "maxItems", "maxLength", "minItems", "minimum",
    "pattern",    "properties", "propertyNames", "title", "type", "uniqueItems",
}  # fmt: skip


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """JSON Schema's rules (draft 2020-12) for the keywords that we use; others are an error."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema and not accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root):
        return False
    if "anyOf" in schema and not any(accepts(one, value, root) for one in schema["anyOf"]):
        return False
    if "type" in schema:
        wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(
            isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")
            for kind in wanted
        ):
            return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, (int, float)):
        if value > schema.get("maximum", value):
            return False
        return schema.get("minimum", value) <= value < schema.get("exclusiveMaximum", value + 1)
    if isinstance(value, str):
        return (
            re.search(schema.get("pattern", ""), value) is not None
            and len(value) <= schema.get("maxLength", len(value))
        )  # fmt: skip
    if isinstance(value, list):
        return (
            schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
            and not (schema.get("uniqueItems") and len(set(value)) < len(value))
            and all(accepts(schema.get("items", {}), item, root) for item in value)
        )
    if isinstance(value, dict):
        rest = schema.get("additionalProperties", True)
        for key, inside in value.items():
            if not accepts(schema.get("propertyNames", {}), key, root):
                return False
            inner = schema.get("properties", {}).get(key, rest)
            if inner is False or (inner is not True and not accepts(inner, inside, root)):
                return False
    return True


@pytest.mark.parametrize("path", [*SHIPPED, *GOOD], ids=lambda path: path.name)
def test_schema_takes_what_the_loader_takes(path: Path) -> None:
    schema = topologies.schema()
    assert accepts(schema, yaml.safe_load(path.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    "text",
    [
        "nmae: x", "name: [x]", "switches: {s1: {dipd: 1}}", "switches: [s1, s1]",
        "hosts: {h1: {swich: s1}}", "hosts: {h 1: s1}", "hosts: [h1]", "hosts: {h1: {mac: abc}}",
        "hosts: {h1: {switch: s1, delay: 5}}", "hosts: {h1: {switch: s1, bandwidth: 100}}",
        "hosts: {h1: {switch: s1, loss: 1}}", "hosts: {h1: {switch: s1, loss: 1.5}}",
        "links: [{ends: [s1]}]", "links: [[s1, s2, s3]]", "links: {a: b}", "networks: {lan: {subnet4: ten}}",
    ],
)  # fmt: skip
def test_schema_refuses(text: str) -> None:
    schema = topologies.schema()
    assert not accepts(schema, yaml.safe_load(text), schema)
    with pytest.raises(topologies.Invalid):
        topologies.loads(text)


def test_examples_are_accepted() -> None:
    schema = topologies.schema()
    for definition in (schema, *schema["$defs"].values()):
        for prop in definition.get("properties", {}).values():
            for example in prop.get("examples", []):
                assert accepts(prop, example, schema), example


def test_schema_knows_every_key() -> None:
    schema = topologies.schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert list(schema["properties"]) == specification.keys_at(())
    assert all(prop.get("description") for prop in schema["properties"].values())
    assert set(schema["$defs"]) == {
        "BackendSpec", "ChainSpec", "CheckSpec", "ControllerSpec", "Direction", "DomainSpec", "FileSpec",
            "ForwardSpec",
            "FunctionSpec",
            "HostSpec", "InterfaceSpec",
        "HttpRuleSpec", "LinkSpec", "NetworkSpec", "OutsideSpec", "PoolSpec", "RouterSpec", "RuleSpec",
        "RunSpec",
        "StorageSpec", "SwitchSpec", "UnderlayLinkSpec", "UnderlaySpec", "VlanSpec", "VolumeSpec",
    }  # fmt: skip
    for definition in schema["$defs"].values():
        assert definition["additionalProperties"] is False
        assert all(prop.get("description") for prop in definition.get("properties", {}).values())

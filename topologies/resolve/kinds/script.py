"""A user's Python function: checks the content of its file, and never runs it. Pure."""

from __future__ import annotations

import ast
import warnings
from typing import Literal, cast

from topologies.model.functions import Script
from topologies.resolve.kinds.context import Context
from topologies.syntax.problem import Path
from topologies.syntax.service_specification import FunctionSpec


def script(name: str, spec: FunctionSpec, context: Context) -> Script | None:
    """The part of a ``python`` function; None, with a problem, when its file cannot be used."""
    path, report = ("functions", name, "file"), context.report
    if spec.file is None:
        what = "the function names no file"
        report.add(path, what, "a Python file with process(packet)", "write file: and its name")
        return None
    source = _text(path, spec.file, context)
    if source is None:
        return None
    problem = script_problem(source)
    if problem:
        report.add(path, f"{spec.file}{problem}", remedy="correct the file")
        return None
    packets = cast(Literal["bytes", "scapy"], spec.packets or "bytes")
    return Script(file=spec.file, source=source, packets=packets)


def _text(path: Path, file: str, context: Context) -> str | None:
    raw = context.filled.files.get(file)
    if raw is None:
        return None  # a problem is reported where the file is read
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        context.report.add(path, f"{file} is not UTF-8 (line {line})", remedy="save it as UTF-8")
        return None


def script_problem(source: str) -> str:
    """What is wrong with the source of a user's function, beginning with the line; empty if nothing is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unknown escapes: they are no problem
            tree = ast.parse(source)
    except SyntaxError as error:
        return f", line {error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError):
        return " is no Python that can be read"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "process":
            return ""
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "process":
            return f", line {node.lineno}: process is async"
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign)) and _binds_process(node):
            return ""
    return " has no function process(packet)"


def _binds_process(node: ast.Import | ast.ImportFrom | ast.Assign) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "process" for target in node.targets)
    return any((alias.asname or alias.name) == "process" for alias in node.names)

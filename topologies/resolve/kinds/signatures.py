"""The rules of an intrusion detection function: those in the topology file, and those in files that it names.
Pure."""

from __future__ import annotations

from codecs import BOM_UTF8

from topologies.model.functions import Ids
from topologies.resolve.kinds.context import Context
from topologies.syntax.service_specification import FunctionSpec


def ids(name: str, spec: FunctionSpec, context: Context) -> Ids:
    """The rules of an ``ids`` function: first those in the topology file, then those of each named file."""
    files = tuple(file for file in spec.files or () if file is not None)
    texts = [spec.signatures.encode()] if spec.signatures else []
    # files that cannot be read are reported already
    texts += [context.filled.files[file] for file in files if file in context.filled.files]
    parts = [text.removeprefix(BOM_UTF8).rstrip(b"\n") for text in texts]
    counts = tuple(part.count(b"\n") + 1 for part in parts)
    rules = b"\n".join(parts)
    try:
        return Ids(rules=rules.decode("utf-8"), files=files, lines=counts)
    except UnicodeDecodeError:  # rules are bytes, so every encoding is allowed
        return Ids(rules=rules.decode("latin-1"), encoding="latin-1", files=files, lines=counts)

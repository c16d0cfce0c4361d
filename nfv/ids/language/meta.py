"""Keywords that describe a rule, and match nothing (user guide "Meta Keywords")."""

from __future__ import annotations

from nfv.ids.language.builder import Builder
from nfv.ids.language.numbers import whole
from nfv.ids.language.text import BLANKS, Problem, plain, readable, unquote


def msg(b: Builder, value: str | None) -> None:
    """The text of an alert."""
    b.rule.msg = readable(plain(unquote("msg", value)))


def sid(b: Builder, value: str | None) -> None:
    """The rule's number."""
    if b.rule.sid:
        raise Problem("sid", "is given twice")
    b.rule.sid = whole("sid", (value or "").strip('"'), 1)


def gid(b: Builder, value: str | None) -> None:
    """The number of the rule's group."""
    b.rule.gid = whole("gid", (value or "").strip('"'))


def rev(b: Builder, value: str | None) -> None:
    """The rule's revision."""
    b.rule.rev = whole("rev", (value or "").strip('"'))


def classtype(b: Builder, value: str | None) -> None:
    """The class, which gives the alert's category and, without ``priority``, its severity."""
    name = (value or "").strip('"').strip()
    if not name:
        raise Problem("classtype", "needs a name")
    b.rule.classtype = readable(name)
    known = b.classes.get(name.lower())
    if known is None:
        b.notes.append(f"classtype: {name!r} is not in the classification; priority 3 is used")
        return
    b.rule.category, priority = known
    if not b.rule.has_priority:
        b.rule.priority = priority


def priority(b: Builder, value: str | None) -> None:
    """The alert's severity; 1 is the highest."""
    b.rule.priority = whole("priority", (value or "").strip('"'), 0, 255)
    b.rule.has_priority = True


def reference(b: Builder, value: str | None) -> None:
    """Where to read more: ``type,address``."""
    kind, comma, address = (value or "").partition(",")
    address = address.strip(BLANKS)
    if not comma or not address:
        raise Problem("reference", "must be of the form type,address")
    b.rule.references.append(readable(f"{kind.strip(BLANKS)},{plain(address)}"))


def metadata(b: Builder, value: str | None) -> None:
    """Keys and values for programs."""
    for part in (value or "").split(","):
        key, _, rest = part.strip(BLANKS).partition(" ")
        if key:
            b.rule.metadata.setdefault(readable(key), []).append(readable(rest.strip(BLANKS)))


def target(b: Builder, value: str | None) -> None:
    """The attacked side: src_ip or dest_ip."""
    name = (value or "").strip()
    if name not in ("src_ip", "dest_ip"):
        raise Problem("target", "must be src_ip or dest_ip")
    b.rule.target = name


def requires(b: Builder, value: str | None) -> None:
    """Requirements of a rule. Only versions and keywords are supported, not features."""
    for part in (value or "").split(","):
        kind, _, rest = part.strip().partition(" ")
        if kind == "keyword":
            if rest.strip() not in b.known:
                raise Problem("requires", f"the keyword {rest.strip()!r} is not supported")
        elif kind == "version":
            b.check_version(rest)
        else:
            raise Problem("requires", f"{part.strip()!r} is not supported")


KEYWORDS = {
    "msg": msg,
    "sid": sid,
    "gid": gid,
    "rev": rev,
    "classtype": classtype,
    "priority": priority,
    "reference": reference,
    "metadata": metadata,
    "target": target,
    "requires": requires,
}

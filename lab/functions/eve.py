"""Messages in Suricata's EVE form (https://docs.suricata.io, "Eve JSON Format"): only what texts need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lab.functions.messages import Message, Pace, message


@dataclass(frozen=True)
class Signature:
    """The rule of an alert."""

    signature: str | None = None
    signature_id: int | None = None
    action: str | None = None


@message("alert")
@dataclass(frozen=True)
class Alert(Message):
    """A packet or a stream met a rule of the intrusion detection."""

    alert: Signature

    def text(self, instance: str, flow: str) -> str:
        what = "blocked" if self.alert.action == "blocked" else "alert"
        rule = self.alert.signature if self.alert.signature is not None else self.alert.signature_id
        return f"{instance}: {what} {'?' if rule is None else rule}: {flow}"


@message("stats")
@dataclass(frozen=True)
class Stats(Message):
    """Suricata's own counters; those of the contract come as ``counters``."""

    PACE: ClassVar[Pace] = "measure"


@dataclass(frozen=True)
class Account(Message):
    """Normal traffic, as the intrusion detection has seen it."""

    PACE: ClassVar[Pace] = "account"

    def details(self) -> tuple[object, ...]:
        """What is worth telling beside source and destination."""
        return ()

    def text(self, instance: str, flow: str) -> str:
        details = " ".join(str(detail) for detail in self.details() if detail not in (None, ""))
        return super().text(instance, flow) + (f": {details}" if details else "")


@dataclass(frozen=True)
class Packets:
    pkts_toserver: int
    pkts_toclient: int


@message("flow")
@dataclass(frozen=True)
class Flow(Account):
    flow: Packets | None = None

    def details(self) -> tuple[object, ...]:
        if self.flow is None:
            return ()
        return (f"{self.flow.pkts_toserver} packets there, {self.flow.pkts_toclient} back",)


@dataclass(frozen=True)
class Request:
    http_method: str | None = None
    hostname: str | None = None
    url: str | None = None
    status: int | str | None = None


@message("http")
@dataclass(frozen=True)
class Http(Account):
    http: Request = Request()

    def details(self) -> tuple[object, ...]:
        return (self.http.http_method, self.http.hostname, self.http.url, self.http.status)


@dataclass(frozen=True)
class Query:
    rrtype: str | None = None
    rrname: str | None = None


@dataclass(frozen=True)
class Lookup(Query):
    """Of one name, or of several ``queries``."""

    type: str | None = None
    queries: tuple[Query, ...] = ()


@message("dns")
@dataclass(frozen=True)
class Dns(Account):
    dns: Lookup = Lookup()

    def details(self) -> tuple[object, ...]:
        asked = self.dns.queries or (self.dns,)
        return (self.dns.type, *(word for query in asked[:3] for word in (query.rrtype, query.rrname)))


@dataclass(frozen=True)
class Session:
    version: str | None = None
    sni: str | None = None


@message("tls")
@dataclass(frozen=True)
class Tls(Account):
    tls: Session = Session()

    def details(self) -> tuple[object, ...]:
        return (self.tls.version, self.tls.sni)


@dataclass(frozen=True)
class Oddity:
    type: str | None = None
    event: str | None = None


@message("anomaly")
@dataclass(frozen=True)
class Anomaly(Account):
    anomaly: Oddity = Oddity()

    def details(self) -> tuple[object, ...]:
        return (self.anomaly.type, self.anomaly.event)


@message("ssh")
@dataclass(frozen=True)
class Ssh(Account):
    pass


@message("fileinfo")
@dataclass(frozen=True)
class FileInfo(Account):
    pass

"""A configuration for the program Suricata, as a function of a lab (user guide "Suricata.yaml"). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

EVE = "eve.sock"
RULES = "ids.rules"
TYPES = ("alert", "flow", "http", "dns", "tls", "ssh", "fileinfo", "anomaly")
ANY = (
    "HOME_NET",
    "EXTERNAL_NET",
    "HTTP_SERVERS",
    "SMTP_SERVERS",
    "SQL_SERVERS",
    "DNS_SERVERS",
    "TELNET_SERVERS",
)
PORTS = {
    "HTTP_PORTS": "80",
    "SHELLCODE_PORTS": "!80",
    "SSH_PORTS": "22",
    "FTP_PORTS": "21",
    "DNP3_PORTS": "20000",
}


def configuration(interfaces: Sequence[str], commands: str) -> str:
    """The text of suricata.yaml. One interface: a tap; two: inline (af-packet's ``copy-mode: ips``).

    ``commands``: an absolute path for the command socket.  Suricata reads rules from ``ids.rules`` and writes
    events to a Unix socket ``eve.sock``, both in the directory in which it is started.
    """
    kinds: list[Any] = [*TYPES, {"stats": {"totals": True, "threads": False}}]
    if len(interfaces) == 2:
        kinds.append({"drop": {"alerts": True, "flows": "all"}})
    eve = {"enabled": True, "filetype": "unix_stream", "filename": EVE, "types": kinds}
    tree = {
        "vars": {"address-groups": dict.fromkeys(ANY, "any"), "port-groups": PORTS},
        "default-log-dir": ".",
        "stats": {"enabled": True, "interval": 1},
        "outputs": [{"eve-log": eve}],
        "logging": {"default-log-level": "notice", "outputs": [{"console": {"enabled": True}}]},
        "af-packet": [_capture(interface, interfaces, 90 + n) for n, interface in enumerate(interfaces)],
        # connections that were open before are followed; sums are left to hardware that virtual wires lack
        "stream": {"midstream": True, "checksum-validation": False, "inline": "auto"},
        "app-layer": {
            "protocols": {
                **{name: {"enabled": True} for name in ("http", "ssh", "ftp", "smtp")},
                "tls": {"enabled": True, "detection-ports": {"dp": 443}},
                "dns": {
                    "tcp": {"enabled": True, "detection-ports": {"dp": 53}},
                    "udp": {"enabled": True, "detection-ports": {"dp": 53}},
                },
            }
        },
        "unix-command": {"enabled": True, "filename": commands},
        "default-rule-path": ".",
        "rule-files": [RULES],
    }
    return "%YAML 1.1\n---\n" + "\n".join(_block(tree, 0)) + "\n"


def _capture(interface: str, all_of_them: Sequence[str], cluster: int) -> dict[str, Any]:
    section: dict[str, Any] = {
        "interface": interface,
        "threads": 1,
        "cluster-id": cluster,
        "cluster-type": "cluster_flow",
        "defrag": len(all_of_them) == 1,  # in the way fragments have to pass as they are
        "use-mmap": True,
        "checksum-checks": False,
    }
    if len(all_of_them) == 1:
        return {**section, "tpacket-v3": True}
    other = next(name for name in all_of_them if name != interface)
    return {**section, "tpacket-v3": False, "copy-mode": "ips", "copy-iface": other}


def _block(value: Any, depth: int) -> Iterator[str]:
    """Lines of YAML's block style."""
    margin = "  " * depth
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(member, (dict, list)):
                yield f"{margin}{key}:"
                yield from _block(member, depth + 1)
            else:
                yield f"{margin}{key}: {_scalar(member)}"
    else:
        for entry in value:
            if isinstance(entry, dict):
                first, *rest = _block(entry, depth + 1)
                yield f"{margin}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{margin}- {_scalar(entry)}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f'"{value}"'

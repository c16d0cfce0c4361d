"""``ryu.app.conf_switch_key``: the name of the value that says where a switch's database is."""

from __future__ import annotations

OVSDB_ADDR = "ovsdb_addr"

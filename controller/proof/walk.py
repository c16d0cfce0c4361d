"""Where a batch of frames gets to: through the tables of switches, along wires and tunnels. Pure.

What comes of a batch at a table is computed once, and kept with the bits of the sender's fields that were
asked about meanwhile: it holds for every sender who has the same bits (and for every pair, whoever asks).
All buckets of a select group are followed, since the switch chooses by a hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from controller.flow.tables import (
    CONTROLLER,
    IN_PORT,
    NO_PORT,
    Action,
    DecTtl,
    Flow,
    Group,
    Move,
    Output,
    SetField,
    SwitchTables,
    Table,
    ToGroup,
)
from controller.proof.lookup import Part, TableIndex
from controller.proof.values import (
    Asked,
    Beyond,
    Lost,
    Members,
    Outcome,
    Outcomes,
    Own,
    Question,
    Sender,
    Store,
    Targets,
    Value,
    Vector,
    Wrong,
    whole,
    width,
)
from controller.simulate.fragments import PIPELINE
from controller.simulate.wiring import Wiring
from topologies.model.attachment import TapInstance
from topologies.model.overlay import Tunnel
from topologies.model.topology import Port, Topology

MOST_SWITCHES = 400
"""Switches on a path; a longer one is not followed."""
PURPOSE = "metadata"
"""The field that holds the number of a batch's purpose; no table uses it."""

At = tuple[str, int]
"""A port: its switch and its number."""
Kept = dict[tuple[Question, ...], dict[tuple[object, ...], Outcomes]]
"""Outcomes by the answers to the questions about the sender that they depend on."""


class Purpose(NamedTuple):
    """What frames are for. ``wanted``: their fields when they arrive. ``answered``: they come back to the
    sender's port, otherwise each arrives at its target's port."""

    wanted: tuple[tuple[str, Value], ...]
    answered: bool = False


class _Sends(NamedTuple):
    """What to do with frames of several flows that differ only in values. ``actions`` may have a ``Vector``
    in the place of a value or a port."""

    actions: tuple[Action, ...]
    goto: Table | None
    why: str


class Walk:
    """The ways of frames through a lab.

    ``tables``: those of the switches that count; about others nothing is known. ``homes``: target's number ->
    its port. ``dead``: ports whose link is down.
    """

    def __init__(
        self,
        topology: Topology,
        tables: Mapping[str, SwitchTables],
        homes: Sequence[At | None],
        dead: frozenset[At] = frozenset(),
    ) -> None:
        self.asked, self.targets = Asked(), Targets()
        self.purposes: list[Purpose] = []
        self._homes, self._dead = homes, dead
        wiring = Wiring(topology)
        self._far: dict[At, At] = {_at(one): _at(other) for one, other in wiring.far.items()}
        self._instance = {_at(port): name for port, name in wiring.instance.items()}
        self._tunnels: dict[At, list[Tunnel]] = {_at(port): some for port, some in wiring.tunnels.items()}
        self._by_flow, self._vteps = wiring.tunnels_by_flow, wiring.vteps
        self._taps = {
            _at(instance.inward)
            for function in topology.functions
            for instance in function.instances
            if isinstance(instance, TapInstance)
        }
        self._end_systems = {
            _at(function.end_system) for function in topology.functions if function.end_system is not None
        }
        self._indexes: dict[str, dict[Table, TableIndex]] = {}
        self._groups: dict[str, dict[int, Group]] = {}
        self._shared: dict[tuple[int, ...], TableIndex] = {}
        self._known: dict[object, Kept] = {}
        self._active: set[object] = set()
        self._forms: dict[int, tuple[object, tuple[int, ...]]] = {}
        self._depth = 0
        for name, held in tables.items():
            self._add(name, held)

    def _add(self, name: str, held: SwitchTables) -> None:
        by_table: dict[Table, list[Flow]] = {}
        for flow in held.flows:
            by_table.setdefault(flow.table, []).append(flow)
        indexes = self._indexes[name] = {}
        for table, flows in by_table.items():
            key = tuple(map(id, flows))  # equal tables of several switches are made of the same flows
            index = self._shared.get(key)
            if index is None:
                index = self._shared[key] = TableIndex(flows)
            indexes[table] = index
        self._groups[name] = {group.id: group for group in held.groups}

    def enter(self, switch: str, port: int | Own, members: Members, store: Store, sender: Sender) -> Outcomes:
        """What becomes of frames of this sender that come into a switch by a port."""
        self.asked.sender = sender
        self._depth = 0
        return self._go(switch, Table.CLASSIFY, members, {**store, "in_port": port})

    @property
    def states(self) -> int:
        """How many different batches at tables there were."""
        return len(self._known)

    # -- tables --------------------------------------------------------------------------

    def _go(self, switch: str, table: Table, members: Members, store: Store) -> Outcomes:
        """What becomes of frames in a table."""
        key = (switch, table, members, frozenset(store.items()))
        kept = self._known.get(key)
        if kept is not None:
            for asked, answers in kept.items():
                before = answers.get(self.asked.answers(asked))
                if before is not None:
                    self.asked.note(asked)
                    return before
        else:
            kept = self._known[key] = {}
        if key in self._active:
            return dict.fromkeys(members.numbers, Wrong(f"it goes round in a loop, at {switch}"))
        indexes = self._indexes.get(switch)
        if indexes is None:
            return dict.fromkeys(members.numbers, Beyond(f"another controller programs {switch}"))
        self._active.add(key)
        self.asked.begin()
        index = indexes.get(table)
        parts = [Part(None, members.numbers)] if index is None else index.split(members, store, self.asked)
        outcomes: Outcomes = {}
        for merged, numbers in self._merged(switch, table, parts):
            whole_batch = len(numbers) == len(members.numbers)
            if isinstance(merged, Outcome):
                outcomes.update(dict.fromkeys(numbers, merged))
            elif whole_batch:
                outcomes = self._act(switch, merged, members, store)
            else:
                outcomes.update(self._act(switch, merged, self.targets.of(numbers), store))
        asked = self.asked.end()
        self._active.discard(key)
        kept.setdefault(asked, {})[self.asked.answers(asked)] = outcomes
        return outcomes

    def _merged(
        self, switch: str, table: Table, parts: list[Part]
    ) -> list[tuple[_Sends | Outcome, Sequence[int]]]:
        """What the flows of the parts do: flows that differ only in values count as one."""
        merged: list[tuple[_Sends | Outcome, Sequence[int]]] = []
        by_form: dict[object, list[tuple[Flow, tuple[int, ...], Sequence[int]]]] = {}
        for part in parts:
            flow = part.flow
            if part.tie:
                merged.append(
                    (
                        Beyond(f"two flows of one priority match in table {table.name} of {switch}"),
                        part.numbers,
                    )
                )
            elif flow is None:
                merged.append((Lost(f"no flow matches in table {table.name} of {switch}"), part.numbers))
            elif len(parts) == 1:
                return [(_Sends(flow.actions, flow.goto, flow.why), part.numbers)]
            else:
                known = self._forms.get(id(flow))
                if known is None:
                    known = self._forms[id(flow)] = _form(flow)
                by_form.setdefault(known[0], []).append((flow, known[1], part.numbers))
        size = len(self._homes)
        for same in by_form.values():
            first = same[0][0]
            if len(same) == 1:
                merged.append((_Sends(first.actions, first.goto, first.why), same[0][2]))
                continue
            columns: list[list[int]] = [[0] * size for _ in same[0][1]]
            numbers: list[int] = []
            for _, values, some in same:
                numbers += some
                for column, value in zip(columns, values, strict=True):
                    for number in some:
                        column[number] = value
            vectors = iter(columns)
            numbers.sort()
            actions = tuple([_with(action, vectors, numbers) for action in first.actions])
            merged.append((_Sends(actions, first.goto, first.why), numbers))
        return merged

    # -- actions -------------------------------------------------------------------------

    def _act(self, switch: str, sends: _Sends, members: Members, store: Store) -> Outcomes:
        """What becomes of frames that some flows match."""
        copies: list[Outcomes] = []
        now = self._apply(switch, sends.actions, members, store, copies)
        if isinstance(now, Outcome):
            return dict.fromkeys(members.numbers, now)
        if sends.goto is not None:
            copies.append(self._go(switch, sends.goto, members, now))
        if len(copies) == 1:
            return copies[0]
        if not copies:
            return dict.fromkeys(members.numbers, Lost(f"{switch} drops it: {sends.why}"))
        return _together(members, copies)

    def _apply(
        self, switch: str, actions: Sequence[Action], members: Members, store: Store, copies: list[Outcomes]
    ) -> Store | Outcome:
        """The frames after some actions; adds what becomes of those that these send."""
        for action in actions:
            if isinstance(action, Output):
                copies.append(self._output(switch, action.port, members, store))
            elif isinstance(action, SetField):
                store = {**store, action.field: _set(store.get(action.field, 0), action)}
            elif isinstance(action, ToGroup):
                copies.append(self._group(switch, action.group, members, store))
            elif isinstance(action, Move):
                store = {**store, action.dst: self._moved(store, action, members)}
            elif isinstance(action, DecTtl):
                ttl = store.get("nw_ttl", 0)
                if not isinstance(ttl, int):
                    return Beyond("its TTL is not known")
                if ttl < 2:
                    return Lost(f"its TTL runs out at {switch}")
                store = {**store, "nw_ttl": ttl - 1}
            else:
                return Beyond(f"a flow of {switch} does {type(action).__name__}")
        return store

    def _moved(self, store: Store, action: Move, members: Members) -> Value:
        """A field after bits were copied into it."""
        source, target = store.get(action.src, 0), store.get(action.dst, 0)
        if action.bits == width(action.src) == width(action.dst):
            return source
        mask = ((1 << action.bits) - 1) << action.src_bit
        into = ((1 << action.bits) - 1) << action.dst_bit
        if isinstance(source, Own):
            source = self.asked.bits(source, mask)
        if isinstance(source, int):
            value = (source & mask) >> action.src_bit << action.dst_bit
            return _set(target, SetField(action.dst, value, into))
        if isinstance(target, Own):
            target = self.asked.bits(target, whole(action.dst))
        of = [0] * len(source.of)
        for number in members.numbers:
            before = target if isinstance(target, int) else target.of[number]
            value = (source.of[number] & mask) >> action.src_bit << action.dst_bit
            of[number] = before & ~into | value
        return Vector(of)

    def _group(self, switch: str, number: int, members: Members, store: Store) -> Outcomes:
        group = self._groups[switch].get(number)
        if group is None:
            return dict.fromkeys(members.numbers, Lost(f"{switch} has no group {number}"))
        live = [bucket for bucket in group.buckets if (switch, bucket.watch_port) not in self._dead]
        if not live:
            return dict.fromkeys(members.numbers, Lost(f"no bucket of group {number} of {switch} is live"))
        results: list[Outcomes] = []
        came = store["in_port"]
        if group.kind == "all" and isinstance(came, Own):  # one of its ports may be the sender's own
            store = {**store, "in_port": self.asked.bits(came, whole("in_port"))}
        for bucket in live if group.kind in ("all", "select") else live[:1]:
            copies: list[Outcomes] = []
            now = self._apply(switch, bucket.actions, members, store, copies)
            if isinstance(now, Outcome):
                results.append(dict.fromkeys(members.numbers, now))
            elif not copies:
                results.append(dict.fromkeys(members.numbers, Lost(f"{switch} drops it: {group.why}")))
            else:
                results.append(copies[0] if len(copies) == 1 else _together(members, copies))
        if len(results) == 1:
            return results[0]
        if group.kind == "all":
            return _together(members, results)
        worst: Outcomes = dict(results[0])
        for other in results[1:]:
            if other is not results[0]:
                for member, outcome in other.items():
                    if outcome is not None and not isinstance(worst[member], Wrong):
                        worst[member] = outcome
        return worst

    # -- wires ---------------------------------------------------------------------------

    def _output(self, switch: str, port: int | Vector, members: Members, store: Store) -> Outcomes:
        if isinstance(port, int):
            return self._out(switch, port, members, store)
        outcomes: Outcomes = {}
        by_port: dict[int, list[int]] = {}
        at_home: list[int] = []
        homes, of = self._homes, port.of
        for number in members.numbers:
            at = (switch, of[number])
            if at == homes[number] and at not in self._dead:
                at_home.append(number)
            else:
                by_port.setdefault(at[1], []).append(number)
        if at_home:
            outcomes.update(self._arrived(switch, None, self.targets.of(at_home), store))
        for number, some in by_port.items():
            outcomes.update(self._out(switch, number, self.targets.of(some), store))
        return outcomes

    def _out(self, switch: str, port: int, members: Members, store: Store) -> Outcomes:
        numbers = members.numbers
        if port == CONTROLLER:
            return dict.fromkeys(numbers, Lost(f"{switch} sends it to the controller"))
        came = store["in_port"]
        if port == IN_PORT:
            if isinstance(came, Own):
                return self._arrived(switch, came, members, store)
            if not isinstance(came, int) or came == NO_PORT:
                return dict.fromkeys(numbers, Lost(f"{switch} has no port to send it back by"))
            port = came
        elif port == came:
            return dict.fromkeys(numbers, Lost(f"{switch} does not send it back out of port {port}"))
        at = (switch, port)
        if at in self._dead:
            return dict.fromkeys(numbers, Lost(f"port {port} of {switch} is dead"))
        if at in self._instance:
            return dict.fromkeys(numbers, Beyond(f"it passes {self._instance[at]}"))
        far = self._far.get(at)
        if far is not None:
            return self._travel(far, members, store)
        if at in self._tunnels:
            return self._tunnel(at, members, store)
        if at in self._taps:
            return dict.fromkeys(numbers, Lost("a tap gets a copy"))
        if at in self._end_systems:
            return dict.fromkeys(numbers, Beyond("a function's end system gets it"))
        return self._arrived(switch, port, members, store)

    def _travel(self, far: At, members: Members, store: Store, tun_id: int = 0) -> Outcomes:
        """Along a wire to the port ``far``."""
        if self._depth >= MOST_SWITCHES:
            return dict.fromkeys(members.numbers, Beyond(f"its path has more than {MOST_SWITCHES} switches"))
        frame = {
            name: value for name, value in store.items() if name == PURPOSE or not name.startswith(PIPELINE)
        }
        frame["in_port"] = far[1]
        if tun_id:
            frame["tun_id"] = tun_id
        self._depth += 1
        outcomes = self._go(far[0], Table.CLASSIFY, members, frame)
        self._depth -= 1
        return outcomes

    def _tunnel(self, at: At, members: Members, store: Store) -> Outcomes:
        if self._by_flow:
            address, vni = store.get("tun_dst", 0), store.get("tun_id", 0)
            if not isinstance(address, int) or not isinstance(vni, int):
                return self._one_by_one(at, members, store)
            switch = self._vteps.get(IPv4Address(address))
            if switch is None:
                return dict.fromkeys(members.numbers, Lost(f"no domain has the VTEP {IPv4Address(address)}"))
            return self._travel((switch, at[1]), members, store, vni)
        tunnel, to = self._tunnels[at][0], store.get("eth_dst", 0)
        by_vtep: dict[IPv4Address | None, list[int]] = {}
        known = {int(mac.replace(":", ""), 16): vtep for mac, vtep in tunnel.unicast.items()}
        for number in members.numbers:
            if isinstance(to, Own):
                return dict.fromkeys(members.numbers, Beyond("it goes to its own sender through a tunnel"))
            mac = to if isinstance(to, int) else to.of[number]
            by_vtep.setdefault(known.get(mac), []).append(number)
        outcomes: Outcomes = {}
        for vtep, some in by_vtep.items():
            there = self.targets.of(some)
            vteps = tunnel.flood if vtep is None else (vtep,)
            copies = [self._travel((self._vteps[one], at[1]), there, store) for one in vteps]
            outcomes.update(
                _together(there, copies) if copies else dict.fromkeys(some, Lost("no VTEP gets it"))
            )
        return outcomes

    def _one_by_one(self, at: At, members: Members, store: Store) -> Outcomes:
        """Through a tunnel whose ends differ between the targets."""
        groups: dict[tuple[int, int], list[int]] = {}
        ends = store.get("tun_dst", 0), store.get("tun_id", 0)
        for number in members.numbers:
            if any(isinstance(end, Own) for end in ends):
                return dict.fromkeys(members.numbers, Beyond("its sender chooses the tunnel"))
            address, vni = (end.of[number] if isinstance(end, Vector) else end for end in ends)
            groups.setdefault((address, vni), []).append(number)  # type: ignore[arg-type]
        outcomes: Outcomes = {}
        for (address, vni), some in groups.items():
            fixed = {**store, "tun_dst": address, "tun_id": vni}
            outcomes.update(self._tunnel(at, self.targets.of(some), fixed))
        return outcomes

    # -- arrival -------------------------------------------------------------------------

    def _arrived(self, switch: str, port: int | Own | None, members: Members, store: Store) -> Outcomes:
        """At a port that leads out of the fabric. ``port``: None for each target's own; an ``Own`` for the
        sender's."""
        number = store.get(PURPOSE, 0)
        assert isinstance(number, int)
        purpose = self.purposes[number]
        if purpose.answered is not isinstance(port, Own):
            what = (
                "it comes back to its sender" if isinstance(port, Own) else f"{switch} sends the question on"
            )
            return dict.fromkeys(members.numbers, Wrong(what))
        outcomes = self._as_wanted(purpose, members, store)
        if isinstance(port, int):
            for member in members.numbers:
                if self._homes[member] != (switch, port):
                    outcomes[member] = Wrong(
                        f"it arrives at port {port} of {switch}, which is not its destination"
                    )
        return outcomes

    def _as_wanted(self, purpose: Purpose, members: Members, store: Store) -> Outcomes:
        """Whether frames have the fields that they should."""
        outcomes: Outcomes = dict.fromkeys(members.numbers)
        for name, want in purpose.wanted:
            have = store.get(name, 0)
            if have is want or (type(have) is type(want) and not isinstance(have, Vector) and have == want):
                continue
            if isinstance(have, Own) and isinstance(want, Own) and have.variable == want.variable:
                patched = have.mask | want.mask
                if self.asked.bits(have, patched) == self.asked.bits(want, patched):
                    continue
            every = whole(name)
            fixed = self.asked.bits(have, every) if isinstance(have, Own) else have
            should = self.asked.bits(want, every) if isinstance(want, Own) else want
            for member in members.numbers:
                value = fixed.of[member] if isinstance(fixed, Vector) else fixed
                if value != (should.of[member] if isinstance(should, Vector) else should):
                    outcomes[member] = Wrong(f"it arrives with another {name}")
        return outcomes


def _set(before: Value, action: SetField) -> Value:
    """A field after some bits of it were written."""
    value, mask, every = action.value, action.mask, whole(action.field)
    if mask is None or mask & every == every:
        return value
    if isinstance(before, int):
        return before & ~mask | value & mask
    if isinstance(before, Own):
        return Own(before.variable, before.value & ~mask | value & mask, before.mask | mask)
    return Vector([old & ~mask | value & mask for old in before.of])


def _at(port: Port) -> At:
    return port.switch, port.number


def _form(flow: Flow) -> tuple[object, tuple[int, ...]]:
    """What a flow does but for values, and these."""
    form: list[object] = [flow.goto]
    values: list[int] = []
    for action in flow.actions:
        if type(action) is SetField and action.mask is None:
            form.append(action.field)
            values.append(action.value)
        elif type(action) is Output:
            form.append(Output)
            values.append(action.port)
        else:
            form.append((type(action), action))
    return tuple(form), tuple(values)


def _with(action: Action, columns: object, numbers: list[int]) -> Action:
    """The action with the next column of values in place of its own."""
    if not (type(action) is Output or (type(action) is SetField and action.mask is None)):
        return action
    column: list[int] = next(columns)  # type: ignore[call-overload]
    first = column[numbers[0]]
    value = first if all(column[number] == first for number in numbers) else Vector(column)
    if type(action) is Output:
        return Output(value)  # type: ignore[arg-type]
    assert isinstance(action, SetField)
    return SetField(action.field, value)  # type: ignore[arg-type]


def _together(members: Members, copies: Sequence[Outcomes]) -> Outcomes:
    """What becomes of frames of which several copies are sent: one must arrive, and nothing else."""
    outcomes: Outcomes = {}
    for member in members.numbers:
        of_copies = [copy[member] for copy in copies]
        bad = next((o for o in of_copies if o is not None and not isinstance(o, Lost)), None)
        if bad is None and of_copies.count(None) > 1:
            bad = Wrong("it arrives more than once")
        if bad is None and None not in of_copies:
            bad = of_copies[0]
        outcomes[member] = bad
    return outcomes

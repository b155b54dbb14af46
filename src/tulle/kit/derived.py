"""The one incremental mechanism: derived values that record what they read.

Sources publish into `Table`s; everything after them is a `Derived` function of a key. A derived value
remembers which cells it read. A change marks what was built on it (and nothing else) as doubtful; the
next read checks a doubtful value and computes it again only if something that it read really has
another value. So one changed resource costs work in proportion to what depends on it.

This is the marking and pulling of Adapton (Hammer et al., PLDI 2014), with the early cut-off of
Salsa: a value that comes out equal stops the wave. Single-threaded, synchronous, no clock.

Fed by `source/` through `Graph.commit`; read by `mesh/` and by the composition root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
I = TypeVar("I", bound=Hashable)  # noqa: E741  the field's name for an index key


class CycleError(RuntimeError):
    """A derived value was read while it was being computed: a programmer's mistake."""


class _State(Enum):
    CLEAN = 0
    DOUBTFUL = 1  # something below it may have changed
    DIRTY = 2  # something that it read has changed, or it was never computed
    RUNNING = 3


class _Cell:
    """One value, what it was computed from, and who was computed from it."""

    __slots__ = ("compute", "readers", "reads", "state", "value")

    def __init__(self, compute: Callable[[], Any] | None, value: Any = None) -> None:
        self.compute = compute
        self.value = value
        self.reads: dict[_Cell, None] = {}  # in the order of reading: the check below needs it
        self.readers: dict[_Cell, None] = {}
        self.state = _State.CLEAN if compute is None else _State.DIRTY

    def is_dirty(self) -> bool:
        return self.state is _State.DIRTY


class Graph:
    """Owns the cells of one World. Everything that reads or writes them goes through one Graph."""

    def __init__(self) -> None:
        self._stack: list[_Cell] = []
        self.computed: Counter[str] = Counter()
        """How often each derived function ran, by its name: tests assert on it, metrics show it."""

    # -- reading ---------------------------------------------------------------------------------

    def read(self, cell: _Cell) -> Any:
        """The cell's current value; the derived value being computed, if any, now depends on it."""
        if self._stack:
            reader = self._stack[-1]
            reader.reads[cell] = None
            cell.readers[reader] = None
        self._refresh(cell)
        return cell.value

    def _refresh(self, cell: _Cell) -> bool:
        """Make a cell clean. True if its value is another than before."""
        if cell.state is _State.CLEAN:
            return False
        if cell.state is _State.RUNNING:
            raise CycleError("a derived value depends on itself")
        if cell.state is _State.DOUBTFUL:
            # In the order of reading: a later read may only have happened because of an earlier one.
            for below in list(cell.reads):
                self._refresh(below)
                if cell.is_dirty():  # marked by any of the cells that were computed on the way
                    break
            else:
                cell.state = _State.CLEAN
                return False
        return self._compute(cell)

    def _compute(self, cell: _Cell) -> bool:
        assert cell.compute is not None
        for below in cell.reads:
            below.readers.pop(cell, None)
        cell.reads = {}
        cell.state = _State.RUNNING
        self._stack.append(cell)
        try:
            value = cell.compute()
        except BaseException:
            cell.state = _State.DIRTY
            raise
        finally:
            self._stack.pop()
        cell.state = _State.CLEAN
        if value == cell.value:
            return False
        cell.value = value
        self._mark_readers(cell)
        return True

    def forget(self, cell: _Cell) -> None:
        """Take a derived cell out. Who read it computes again, since it hears of no change any more."""
        for below in cell.reads:
            below.readers.pop(cell, None)
        self._mark_readers(cell)

    # -- writing ---------------------------------------------------------------------------------

    def write(self, cell: _Cell, value: Any) -> bool:
        """Give an input cell a value. An equal value is a no-op. True if it changed."""
        assert not self._stack, "an input may not change while something is being computed"
        if cell.value == value:
            return False
        cell.value = value
        self._mark_readers(cell)
        return True

    def _mark_readers(self, cell: _Cell) -> None:
        """Direct readers must compute again; what stands on them is in doubt."""
        doubtful: list[_Cell] = []
        for reader in cell.readers:
            if reader.state is _State.CLEAN:
                doubtful.append(reader)
            if reader.state is not _State.RUNNING:
                reader.state = _State.DIRTY
        while doubtful:
            for reader in doubtful.pop().readers:
                if reader.state is _State.CLEAN:
                    reader.state = _State.DOUBTFUL
                    doubtful.append(reader)


class Table(Generic[K, V]):
    """A source's part of the world: a map whose keys can be read one by one, or as a whole.

    `publish` and `remove` are the only ways in. An equal value is a no-op.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.name = name
        self._graph = graph
        self._values: dict[K, V] = {}
        self._cells: dict[K, _Cell] = {}
        # The cell holds a revision and not the set: copying the set on every publish would make
        # filling a table quadratic. The set is made when somebody reads it.
        self._revision = _Cell(None, 0)
        self._keys: frozenset[K] | None = None
        self._indexes: list[Index[Any, K, V]] = []

    def publish(self, key: K, value: V) -> bool:
        """Set one value. Returns whether anything changed."""
        before = self._values.get(key)
        if key in self._values and before == value:
            return False
        new = key not in self._values
        self._values[key] = value
        if key in self._cells:
            self._graph.write(self._cells[key], value)
        if new:
            self._keys_changed()
        for index in self._indexes:
            index.moved(key, before, value)
        return True

    def remove(self, key: K) -> bool:
        """Take one value out. Returns whether it was there."""
        if key not in self._values:
            return False
        before = self._values.pop(key)
        cell = self._cells.get(key)
        if cell is not None:
            self._graph.write(cell, None)
            if not cell.readers:
                del self._cells[key]
        self._keys_changed()
        for index in self._indexes:
            index.moved(key, before, None)
        return True

    def attach(self, index: Index[Any, K, V]) -> Iterable[tuple[K, V]]:
        """An index wants to hear of every change from now on; what is there already is returned."""
        self._indexes.append(index)
        return self._values.items()

    def _keys_changed(self) -> None:
        self._keys = None
        self._graph.write(self._revision, self._revision.value + 1)

    def replace(self, values: Mapping[K, V], owned: Callable[[K], bool] = lambda _key: True) -> bool:
        """Make the keys that `owned` accepts be exactly `values`. Returns whether anything changed."""
        gone = [key for key in self._values if owned(key) and key not in values]
        changed = [self.remove(key) for key in gone]
        changed += [self.publish(key, value) for key, value in values.items()]
        return any(changed)

    def get(self, key: K) -> V | None:
        """The value of one key, or None. Readers depend on this key alone."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(None, self._values.get(key))
        return self._graph.read(cell)

    def keys(self) -> frozenset[K]:
        """All keys. Readers depend on the set of keys, not on the values."""
        self._graph.read(self._revision)
        if self._keys is None:
            self._keys = frozenset(self._values)
        return self._keys

    def items(self) -> Iterator[tuple[K, V]]:
        """All pairs, in the order of the keys' text. Readers depend on everything."""
        for key in sorted(self.keys(), key=repr):
            value = self.get(key)
            if value is not None:
                yield key, value

    def values(self) -> Iterator[V]:
        """All values, in the order of the keys' text. Readers depend on everything."""
        for _, value in self.items():
            yield value

    def __len__(self) -> int:
        return len(self._values)


class Index(Generic[I, K, V]):
    """The values of a table by something that is in them: services by namespace, routes by parent.

    A reader of one index key depends on the values under that key alone.
    """

    def __init__(self, graph: Graph, table: Table[K, V], keys: Callable[[K, V], Iterable[I]]) -> None:
        self._graph = graph
        self._keys = keys
        self._revisions: dict[I, _Cell] = {}  # as in Table: sorting on every move would be quadratic
        self._content: dict[I, dict[K, V]] = {}
        self._sorted: dict[I, tuple[V, ...]] = {}
        for key, value in table.attach(self):
            self.moved(key, None, value)

    def moved(self, key: K, before: V | None, after: V | None) -> None:
        """The table tells that a key has another value."""
        old = set(self._keys(key, before)) if before is not None else set[I]()
        new = set(self._keys(key, after)) if after is not None else set[I]()
        for at in old - new:
            del self._content[at][key]
        for at in new:
            assert after is not None
            self._content.setdefault(at, {})[key] = after
        for at in old | new:
            self._sorted.pop(at, None)
            if at in self._revisions:
                self._graph.write(self._revisions[at], self._revisions[at].value + 1)
            if not self._content.get(at):
                self._content.pop(at, None)

    def get(self, at: I) -> tuple[V, ...]:
        """The values under one index key, in the order of their table keys' text."""
        revision = self._revisions.get(at)
        if revision is None:
            revision = self._revisions[at] = _Cell(None, 0)
        self._graph.read(revision)
        if at not in self._content:
            return ()
        if at not in self._sorted:
            content = self._content[at]
            self._sorted[at] = tuple(content[key] for key in sorted(content, key=repr))
        return self._sorted[at]


class Derived(Generic[K, V]):
    """A pure function of a key over tables, indexes and other derived functions, remembered."""

    def __init__(self, graph: Graph, function: Callable[[K], V], name: str = "") -> None:
        self.name = name or function.__name__
        self._graph = graph
        self._function = function
        self._cells: dict[K, _Cell] = {}

    def __call__(self, key: K) -> V:
        """The value for a key; computed only if something that it read has changed."""
        cell = self._cells.get(key)
        if cell is None:

            def compute(key: K = key) -> V:
                self._graph.computed[self.name] += 1
                return self._function(key)

            cell = self._cells[key] = _Cell(compute)
        return self._graph.read(cell)

    def is_current(self, key: K) -> bool:
        """Whether the remembered value certainly holds (cheap: it reads nothing)."""
        cell = self._cells.get(key)
        return cell is not None and cell.state is _State.CLEAN

    def forget(self, key: K) -> None:
        """Drop a key that nobody will ask for again (a proxy that left)."""
        cell = self._cells.pop(key, None)
        if cell is not None:
            self._graph.forget(cell)

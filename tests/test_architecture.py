"""Holds the source tree to its layout: who may import whom, what stays pure, how large a file may grow.

Reads the sources with `ast` only: nothing is imported, so a broken module cannot hide from it.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 330


@dataclass(frozen=True)
class Row:
    """Modules that may import each other within their package, and everything in the rows above."""

    modules: tuple[str, ...]
    """Names below `gateway`, those of `collector` in full; a package stands for all of its modules, the longest match
    counts."""
    pure: bool = False
    outside: tuple[str, ...] | None = None
    """Packages (or modules of them) beyond the standard library that may be imported; None: any."""


# Top to bottom is the direction the data flows. A new module needs a place here before it can be used.
ROWS = (
    Row(("model",), pure=True, outside=()),
    Row(("config",), pure=True, outside=("msgspec",)),
    Row(("ops.logs", "ops.counters"), outside=("orjson", "prometheus_client", "psutil")),
    Row(("feed.decode", "feed.formats"), pure=True, outside=("orjson",)),
    Row(("market",), pure=True, outside=()),
    Row(("delivery",), pure=True, outside=()),
    Row(
        ("protocol", "history.query", "history.merge", "history.answer_prefix", "history.kept_prefixes"),
        pure=True,
        outside=("orjson", "websockets.utils"),
    ),
    Row(
        ("redis.backoff", "redis.breaker", "redis.contract", "redis.name_refusals", "redis.stream_names"),
        pure=True,
        outside=("msgspec",),
    ),
    Row(
        (
            *("feed.conflate", "feed.surge_filter", "feed.mode_detector", "feed.key_changes", "feed.silence"),
            "feed.usable_data",
        ),
        pure=True,
        outside=(),
    ),
    Row(
        (
            *("access.token_bucket", "access.forwarded", "access.origins", "access.peers", "access.grants"),
            *("access.credentials", "access.connection", "access.admission"),
        ),
        pure=True,
        outside=(),
    ),
    Row(
        (
            *("collector.events", "collector.encode", "collector.exchange", "collector.budget", "collector.selection"),
            *("collector.series", "collector.contract", "collector.unstored", "collector.outbox", "collector.script"),
            *("collector.composer", "collector.gap_request"),
        ),
        pure=True,
        outside=(),
    ),
    Row(
        (
            *("collector.binance.facts", "collector.binance.payloads", "collector.binance.plan"),
            *("collector.binance.silence", "collector.binance.weight"),
        ),
        pure=True,
        outside=("orjson",),
    ),
    Row(("archive.blocks",), pure=True, outside=()),
    Row(("archive.dump_rows",), pure=True, outside=("orjson",)),
    Row(("archive.dumps",), pure=True, outside=()),
    Row(("archive",), outside=("asyncpg", "pyarrow")),
    Row(("redis",), outside=("redis", "hiredis")),
    Row(("collector.binance",), outside=("aiohttp", "orjson", "websockets")),
    Row(("feed",)),
    Row(("collector",)),
    Row(("server.ping_meter", "server.control_limit"), pure=True, outside=()),
    Row(
        (
            *("history", "access", "server.socket_batch", "server.handshake", "server.client_socket"),
            *("server.kernel_buffers", "server.tls", "server.event_socket"),
        ),
    ),
    Row(("ops.metrics",)),
    Row(
        (
            *("replay.address", "replay.clock", "replay.walk", "replay.rolling_day", "replay.channels", "replay.track"),
            *("replay.timeline", "replay.encoder", "replay.slots"),
        ),
        pure=True,
        outside=(),
    ),
    Row(("replay",)),
    Row(("runtime",)),
    Row(
        ("ops.status.freshness", "ops.status.record", "ops.status.screen", "ops.status.combine", "ops.status.verdict"),
        pure=True,
        outside=(),
    ),
    Row(("ops",)),
    Row(("server.worker_group",), outside=("msgspec",)),
    Row(("http",)),
    Row(("stream",)),
    Row(("server",)),
    Row(("app",)),
    Row(("ops.status.remote", "ops.status.commands"), outside=("click",)),
    Row(("command",), outside=("click", "uvloop")),
    Row(("archive.commands",), outside=("click",)),
    Row(("collector.run", "collector.commands")),
    Row(("cli",)),
    Row(("__main__",)),
)

# What a pure module may not import, because it waits, reads a clock, draws lots or talks to the outside.
IMPURE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "random", "secrets", "select", "selectors",
    "signal", "socket", "ssl", "subprocess", "threading", "time",
    "hiredis", "prometheus_client", "redis", "starlette", "uvicorn", "uvloop",
}  # fmt: skip
# The same through the back door.
CLOCK_CALLS = {"now", "today", "utcnow"}


@dataclass(frozen=True)
class Import:
    name: str
    line: int
    for_types_only: bool


def module_name(path: Path) -> str:
    """`gateway/feed/topics.py` -> `feed.topics`, the package's own `__init__` -> "";
    `collector/series.py` -> `collector.series`."""
    package, *parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        del parts[-1]
    return ".".join(parts if package == "gateway" else (package, *parts))


SOURCES = {
    module_name(path): path for package in ("collector", "gateway") for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def tree(module: str) -> ast.Module:
    text = SOURCES[module].read_text(encoding="utf-8")
    # A finaliser that runs Python code in the middle of `ast.parse` makes it fail on CPython 3.11.
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Every import in the file, lazy ones inside functions too."""
    found: list[Import] = []

    def visit(node: ast.AST, for_types_only: bool) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for statement in node.body:
                    visit(statement, True)
                for statement in node.orelse:
                    visit(statement, for_types_only)
                return
            case ast.Import(names=names):
                found.extend(Import(alias.name, node.lineno, for_types_only) for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                assert level == 0, f"{SOURCES[module]}:{node.lineno}: import by full name, not relative"
                for alias in names:
                    deeper = f"{source}.{alias.name}"
                    is_module = deeper.removeprefix("gateway.") in SOURCES
                    found.append(Import(deeper if is_module else str(source), node.lineno, for_types_only))
        for child in ast.iter_child_nodes(node):
            visit(child, for_types_only)

    visit(tree(module), False)
    return tuple(found)


def inner(imported: Import) -> str | None:
    """The module's name as in `SOURCES`, or None if it is not ours."""
    package, _, rest = imported.name.partition(".")
    if package == "collector":
        return imported.name
    return rest if package == "gateway" else None


def full_name(module: str) -> str:
    """As it is imported."""
    return module if package_of(module) == "collector" else f"gateway.{module}"


def is_declared_only(body: list[ast.stmt]) -> bool:
    """Whether a function has no body but docstring and dots."""
    return all(isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) for statement in body)


def row_of(module: str) -> int | None:
    """Place in `ROWS`, by the longest name that fits; None without one."""
    best: tuple[int, int] | None = None
    for place, row in enumerate(ROWS):
        for name in row.modules:
            if (module == name or module.startswith(f"{name}.")) and (best is None or len(name) > best[0]):
                best = (len(name), place)
    return None if best is None else best[1]


def package_of(module: str) -> str:
    return module.partition(".")[0]


def pure_modules() -> list[str]:
    """Modules that must be pure, packages' own `__init__` left out."""
    return [
        module
        for module, path in SOURCES.items()
        if path.name != "__init__.py" and (place := row_of(module)) is not None and ROWS[place].pure
    ]


def at(module: str, line: int) -> str:
    return f"{SOURCES[module].relative_to(ROOT)}:{line}"


MODULES = [module for module in SOURCES if module]
each_module = pytest.mark.parametrize("module", MODULES)
each_pure_module = pytest.mark.parametrize("module", pure_modules())


@each_module
def test_every_module_has_a_row(module: str) -> None:
    if SOURCES[module].name == "__init__.py":
        assert any(row_of(other) is not None for other in MODULES if other.startswith(f"{module}."))
    else:
        assert row_of(module) is not None, f"give {full_name(module)} a place in ROWS"


@each_module
def test_imports_go_up_only(module: str) -> None:
    own = row_of(module)
    for imported in imports(module):
        target = inner(imported)
        if not target or own is None:
            continue
        row = row_of(target)
        assert row is not None, f"{at(module, imported.line)}: {imported.name} has no row"
        same_group = row == own and (
            package_of(target) == package_of(module) or {package_of(target), package_of(module)} <= {"cli", "__main__"}
        )
        assert row < own or same_group, (
            f"{at(module, imported.line)}: {full_name(module)} may not import {full_name(target)}"
        )


@each_module
def test_only_the_command_line_knows_the_collector(module: str) -> None:
    if module not in ("cli", "__main__") and package_of(module) != "collector":
        named = [imported.name for imported in imports(module) if imported.name.partition(".")[0] == "collector"]
        assert not named, module


def test_the_python_client_imports_nothing_of_the_server() -> None:
    for path in (ROOT / "clients" / "python").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) gateway\b", path.read_text(encoding="utf-8"), re.MULTILINE), path


@each_pure_module
def test_pure_modules_stay_pure(module: str) -> None:
    for imported in imports(module):
        if not imported.for_types_only:
            assert imported.name.partition(".")[0] not in IMPURE, f"{at(module, imported.line)}: {imported.name}"
    for node in ast.walk(tree(module)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name)):
                assert name not in CLOCK_CALLS, f"{at(module, node.lineno)}: reads the clock; take the time instead"
            case ast.AsyncFunctionDef(body=body) if is_declared_only(body):
                # A protocol says that others wait.
                pass
            case ast.AsyncFunctionDef() | ast.Await():
                pytest.fail(f"{at(module, node.lineno)}: a pure module does not wait")


@each_module
def test_outside_packages_are_those_of_the_row(module: str) -> None:
    place = row_of(module)
    allowed = ROWS[place].outside if place is not None else None
    if allowed is None:
        return
    for imported in imports(module):
        if imported.name.partition(".")[0] not in {"collector", "gateway", *sys.stdlib_module_names}:
            admitted = any(f"{imported.name}.".startswith(f"{name}.") for name in allowed)
            assert admitted, f"{at(module, imported.line)}: {imported.name}"


def test_no_import_circle() -> None:
    # Imports for types count too: two files that name each other's types cannot be read one after the other.
    graph = {module: {name for found in imports(module) if (name := inner(found))} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@each_module
def test_only_the_command_line_reads_the_environment(module: str) -> None:
    for node in ast.walk(tree(module)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
                assert module == "command", f"{at(module, node.lineno)}: settings come from config.py"


@each_module
def test_every_module_says_what_it_owns(module: str) -> None:
    assert ast.get_docstring(tree(module)), f"{SOURCES[module].relative_to(ROOT)} has no docstring"


@pytest.mark.parametrize("folder", ["collector", "gateway", "loadtest", "scripts", "simulator", "clients/python"])
def test_files_stay_short_enough_to_have_one_reason_to_change(folder: str) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    too_long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAX_LINES}
    assert not too_long


def test_every_folder_with_sources_is_a_package() -> None:
    folders = {path.parent for path in SOURCES.values()}
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []

"""The page of the Python client's API: what `kline_gateway_client` exports, with signatures and docstrings."""

from __future__ import annotations

import ast
import inspect

import kline_gateway_client

from scripts.docs.markdown import fence, page

INDENT = 4


def python_api() -> str:
    """The page."""
    parts = [
        "# Python client: API",
        (
            "What `kline_gateway_client` exports. How it behaves is in"
            " [the client's own document](../clients/python/README.md)."
        ),
    ]
    for name in kline_gateway_client.__all__:
        value = getattr(kline_gateway_client, name)
        if inspect.isclass(value):
            parts += _class(name, value)
    return page(*parts)


def _class(name: str, value: type) -> list[str]:
    tree = ast.parse(inspect.getsource(value))
    (node,) = tree.body
    assert isinstance(node, ast.ClassDef)
    if node.name != name:
        return [f"## `{name}`", f"Another name of `{node.name}`."]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign) and _is_public(one)]
    constructor = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    head = f"class {name}({bases})" if bases else f"class {name}"
    lines = [head, *(f"    {line}" for line in fields), *(_signature(one, "    ") for one in constructor)]
    parts = [f"## `{name}`", fence("\n".join(lines), "python"), _text(node)]
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and not one.name.startswith("_"):
            decorators = "".join(f"@{ast.unparse(decorator)}\n" for decorator in one.decorator_list)
            parts += [f"### `{name}.{one.name}`", fence(decorators + _signature(one), "python"), _text(one)]
    return parts


def _is_public(field: ast.AnnAssign) -> bool:
    return isinstance(field.target, ast.Name) and not field.target.id.startswith("_")


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, indent: str = "") -> str:
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    given = ast.unparse(node.args)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if len(given) > 90:
        broken = ",\n".join(f"{indent}    {one}" for one in _arguments(node.args))
        return f"{indent}{word} {node.name}(\n{broken},\n{indent}){returned}"
    return f"{indent}{word} {node.name}({given}){returned}"


def _arguments(given: ast.arguments) -> list[str]:
    """Each argument as it is written; all of this package's are positional or keyword-only."""
    first = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    found = [_argument(one, default) for one, default in zip(given.args, first, strict=True)]
    if given.kwonlyargs:
        found.append("*")
        found += [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return found


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(one) + (f" = {ast.unparse(default)}" if default is not None else "")


def _text(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return ast.get_docstring(node) or ""

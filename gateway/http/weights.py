"""What each request counts for: one table, by path. Pure.

Every request is counted. Requests for data weigh what they cost at worst, by the klines and symbols that they ask for,
as the exchange weighs them: a unit is up to 15 ms of the gateway's time, which is what decoding a stored series takes
that nobody has asked for lately. Most requests take a fiftieth of that.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable

BINANCE_APIS = ("/api", "/sapi", "/fapi", "/dapi", "/eapi", "/papi", "/wapi")
"""Where clients of the exchange send requests: spot, wallet and margin, futures, options, portfolio."""

BINANCE, UDF = tuple(f"{path}/" for path in BINANCE_APIS), "/udf"
DATA = ("/v1/", "/functions/", *BINANCE, UDF)
"""Prefixes of the paths that serve data."""

ROWS_PER_UNIT = 1000
NAMES_PER_UNIT = 50
"""Klines and symbols in one answer that count for one unit. Answers about all symbols are shared: one unit each."""


class Allowance(StrEnum):
    """What a request is counted against. Each address has one of each, so that none uses up another."""

    DATA = "data"
    FILES = "files"
    """The page, the documents, and every path that does not exist."""
    OPERATIONS = "operations"


class Weight(NamedTuple):
    """What one request counts for."""

    allowance: Allowance
    units: int = 1
    refusable: bool = True
    """Health checks are counted but not refused: an answer costs no more than a refusal, and a refused liveness check
    restarts a gateway that is well."""

    @property
    def is_data(self) -> bool:
        """Whether the answer is market data, for which a token may be needed."""
        return self.allowance is Allowance.DATA


KEPT_BYTES = 256
"""The weights of a thousand queries are kept, of those that are no longer than this."""

_DATA = Weight(Allowance.DATA)
_FILES = Weight(Allowance.FILES)
_OPERATIONS = Weight(Allowance.OPERATIONS)
_HEALTH = Weight(Allowance.OPERATIONS, refusable=False)

_FIXED = {
    "/healthz": _HEALTH,
    "/readyz": _HEALTH,
    "/v1/health/data": _HEALTH,
    "/functions/v1/health": _HEALTH,
    "/rest/v1/rpc/ping": _OPERATIONS,
    "/metrics": _OPERATIONS,
    "/status.json": _OPERATIONS,
    "/v1/status": Weight(Allowance.OPERATIONS, 2),
    "/v1/trace": Weight(Allowance.OPERATIONS, 2),
    "/v1/openapi.json": _FILES,
    "/v1/asyncapi.json": _FILES,
}


def _rows(parameter: str) -> Callable[[dict[str, str]], int]:
    """Units by the number of klines that a parameter asks for."""
    return lambda query: _per(_number(query.get(parameter, "")), ROWS_PER_UNIT)


def _names(parameter: str) -> Callable[[dict[str, str]], int]:
    """Units by the number of symbols that a parameter lists."""
    return lambda query: _per(query[parameter].count(",") + 1, NAMES_PER_UNIT) if parameter in query else 1


_BY_QUERY = {
    "/v1/klines": _rows("limit"),
    "/api/v3/klines": _rows("limit"),
    "/api/v3/uiKlines": _rows("limit"),
    "/udf/history": _rows("countback"),
    "/udf/quotes": _names("symbols"),
    "/api/v3/exchangeInfo": _names("symbols"),
    "/api/v3/ticker/24hr": _names("symbols"),
    "/api/v3/ticker/price": _names("symbols"),
    "/api/v3/ticker/bookTicker": _names("symbols"),
}


def weigh(method: str, path: str, query: bytes) -> Weight:
    """The weight of a request. `query`: the raw query string."""
    if method == "OPTIONS":
        # Asks what is allowed; a browser sends no token with it.
        return _FILES
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    if not path.startswith(DATA):
        return _FILES
    if path not in _BY_QUERY:
        return _DATA
    return _of_query(path, query) if len(query) <= KEPT_BYTES else _of_query.__wrapped__(path, query)


@lru_cache(maxsize=1024)
def _of_query(path: str, query: bytes) -> Weight:
    return Weight(Allowance.DATA, _BY_QUERY[path](_parameters(query)))


def _parameters(query: bytes) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.decode("latin-1").split("&"))
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def _number(text: str) -> int:
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


def _per(count: int, unit: int) -> int:
    # The routes refuse or cut what is more than they serve.
    return max(1, min(-(-count // unit), 20))

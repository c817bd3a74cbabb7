"""What Redis runs in a single, atomic step, so that two collectors cannot both write (fencing).

Each write of a collector that shares its work begins with a look whether the lease is still its own. A script saves
nothing where Redis is billed by the command: each command in it is billed too. Redis Cluster cannot run it, because the
keys lie on several nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from collector.contract import Command

WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another collector holds the lease')
end
local at = 2
while ARGV[at] do
  local parts = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + parts))
  at = at + parts + 1
end
return 'OK'
"""

FENCED = "FENCED"
"""An error that begins so: another collector holds the lease, and nothing was written."""

ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
return redis.call('PTTL', KEYS[1])
"""
"""Returns 0 where the lease is now one's own, otherwise for how many ms it is another's (-1: for ever)."""

RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""Returns 1 where the lease was one's own, and is for as long again."""

RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Call(NamedTuple):
    """A call of `WRITE`, and how many commands it is, itself and the look at the lease included."""

    command: Command
    commands: int


def calls(commands: Iterable[Command], *, lease_key: str, holder: str, max_bytes: int) -> Iterator[Call]:
    """The commands as calls of `WRITE`, each of about `max_bytes` at most so that none holds Redis up for long.

    `holder`: what the lease must hold for anything to be written.
    """
    arguments: list[str | int] = []
    size_bytes = count = 0
    for command in commands:
        arguments += (len(command), *command)
        count += 1
        size_bytes += sum(len(part) if isinstance(part, str) else 16 for part in command)
        if size_bytes >= max_bytes:
            yield Call(("EVAL", WRITE, 1, lease_key, holder, *arguments), count + 2)
            arguments, size_bytes, count = [], 0, 0
    if arguments:
        yield Call(("EVAL", WRITE, 1, lease_key, holder, *arguments), count + 2)

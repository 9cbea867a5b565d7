"""Redis Streams: one stream per kind, and entry ids that are the events' places in the log.

Whatever is written goes through one script, which Redis executes as a whole: it writes only if the mark is still the
one that we know, and moves the mark. So two publishers cannot mix, a request whose answer was lost is found out
about by reading the mark, and a Redis that has lost something is noticed before anything is added behind the gap.
Redis itself refuses an id that is not above the last one of the stream.
"""

import re
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from engine import Engine
from server.events.errors import EventsError
from server.events.maker import KINDS
from server.events.publisher import CHUNK_EVENTS, Chunk, Mark, MovedError

SCRIPT = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return redis.error_reply('EVENTSMOVED the mark is another one')
end
local at = 4
local maxlen = ARGV[3]
local starts = {}
for k = 2, #KEYS do
  local count = tonumber(ARGV[at])
  starts[k] = at + 1
  if count > 0 then
    local info = redis.pcall('XINFO', 'STREAM', KEYS[k])
    if info['err'] then
      if not string.find(info['err'], 'no such key') then return info end
    else
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
          local a, b = string.match(info[i + 1], '(%d+)-(%d+)')
          local c, d = string.match(ARGV[at + 1], '(%d+)-(%d+)')
          a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
          if a > c or (a == c and b >= d) then
            return redis.error_reply('EVENTSAHEAD ' .. KEYS[k] .. ' has entry ' .. info[i + 1])
          end
        end
      end
    end
  end
  at = at + 1 + 2 * count
end
for k = 2, #KEYS do
  local first = starts[k]
  local count = tonumber(ARGV[first - 1])
  for i = first, first + 2 * count - 2, 2 do
    if maxlen == '0' then
      redis.call('XADD', KEYS[k], ARGV[i], 'event', ARGV[i + 1])
    else
      redis.call('XADD', KEYS[k], 'MAXLEN', '~', maxlen, ARGV[i], 'event', ARGV[i + 1])
    end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 'OK'
"""
"""KEYS: the mark, the streams. ARGV: the mark as it must be, as it will be, the length; per stream a number of
entries, and of each its id and its event."""

MARK = re.compile(rb"([0-9a-f]{32}) (\d+) ([0-9a-f]{64}) (\d+)")
ANSWER_SECONDS = 10.0
"""An answer that takes longer is given up, and its connection with it."""


class Streams:
    """The target. Use it from one task."""

    name = "redis"
    settled: Mark | None = None
    trouble: str | None = None
    dead = 0
    drains = False
    events_max = CHUNK_EVENTS

    def __init__(self, url: str, prefix: str, entries_max: int) -> None:
        """`entries_max`: how long a stream may become, about; 0: as long as it likes."""
        self._url = url
        self._entries_max = str(entries_max)
        self.keys = [f"{prefix}:mark", *(f"{prefix}:{kind}" for kind in KINDS)]
        """The mark and the streams."""
        self._redis: Redis | None = None
        self._script: Any = None

    def begin(self, engine: Engine) -> None:
        """Events have all that is needed."""

    async def open(self) -> Mark | None:
        """Connect and read the mark; the streams must not be ahead of it."""
        if self._redis is None:
            self._redis = Redis.from_url(
                self._url,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
                **({} if self._url.startswith("unix:") else {"socket_keepalive": True}),
                retry=Retry(NoBackoff(), 0),
                retry_on_error=[],
            )
            self._script = self._redis.register_script(SCRIPT)
        found = await self._redis.get(self.keys[0])
        mark = self._parsed(found)
        for key in self.keys[1:]:
            try:
                info = await self._redis.xinfo_stream(key)
            except ResponseError as error:
                if "no such key" in str(error):
                    continue
                raise EventsError(f"redis_url: {key} cannot be used: {error}") from error
            last = _entry_id(info["last-generated-id"])
            if mark is None:
                raise EventsError(
                    f"redis_url: there is a stream {key} and no {self.keys[0]}: these are not our streams, or their "
                    "mark was deleted. Choose another redis_prefix, or delete the streams"
                )
            if last >= (mark.seq + 1, mark.part):
                raise EventsError(
                    f"redis_url: {key} has entry {last[0]}-{last[1]}, and {self.keys[0]} is at row {mark.seq}: "
                    "somebody else writes there. Choose another redis_prefix"
                )
        return mark

    async def status(self) -> dict[str, Any]:
        """Say how far the streams are, and what they hold."""
        mark = await self.open()
        assert self._redis is not None
        said: dict[str, Any] = {"seq": None if mark is None else mark.seq}
        if mark is not None:
            said["log_id"] = mark.log_id.hex()
        said["streams"] = {}
        for key in self.keys[1:]:
            if await self._redis.exists(key):
                info = await self._redis.xinfo_stream(key)
                seq, index = _entry_id(info["last-generated-id"])
                said["streams"][key] = {"entries": info["length"], "last": f"{seq}-{index}"}
        return said

    async def publish(self, before: Mark | None, chunk: Chunk) -> None:
        """Add the events and move the mark, in one script."""
        assert self._redis is not None
        arguments: list[Any] = [_text(before), _text(chunk.mark), self._entries_max]
        by_kind: list[list[Any]] = [[] for _ in KINDS]
        for seq, event in chunk.events:
            entries = by_kind[event.kind]
            entries.append(f"{seq}-{event.place}")
            entries.append(event.data)
        for entries in by_kind:
            arguments.append(len(entries) // 2)
            arguments += entries
        try:
            await self._script(keys=self.keys, args=arguments)
        except ResponseError as error:
            said = str(error)
            if "EVENTSMOVED" in said:
                raise MovedError(said) from error
            if "EVENTSAHEAD" in said:
                raise EventsError(
                    f"redis_url: {said}: somebody else writes there. Choose another redis_prefix"
                ) from error
            raise

    async def close(self) -> None:
        """Drop the connections."""
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()

    def _parsed(self, found: Any) -> Mark | None:
        if found is None:
            return None
        match = MARK.fullmatch(found)
        if match is None:
            raise EventsError(f"redis_url: {self.keys[0]} is not a mark of ours. Choose another redis_prefix")
        log_id, seq, row_hash, part = match.groups()
        return Mark(bytes.fromhex(log_id.decode()), int(seq), bytes.fromhex(row_hash.decode()), int(part))


def _text(mark: Mark | None) -> str:
    """A mark as it stands in Redis."""
    if mark is None:
        return ""
    return f"{mark.log_id.hex()} {mark.seq} {mark.hash.hex():0>64} {mark.part}"


def _entry_id(value: bytes | str) -> tuple[int, int]:
    seq, _, index = (value.decode() if isinstance(value, bytes) else value).partition("-")
    return int(seq), int(index)


__all__ = ["MARK", "RedisError", "Streams"]

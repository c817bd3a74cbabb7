"""Ages of values in a histogram of constant size: exact to 0.1 ms up to 204.7 ms, to 0.1 % above. Pure."""

from __future__ import annotations

_EXACT_BITS = 11
_EXACT = 1 << _EXACT_BITS
_HALF = _EXACT >> 1
_MAX_BITS = 32
_BUCKETS = _EXACT + (_MAX_BITS - _EXACT_BITS) * _HALF
_MAX = (1 << _MAX_BITS) - 1


def bucket_of(value: int) -> int:
    """The bucket of a value; each power of two above the exact part has 1,024 buckets."""
    if value < _EXACT:
        return value if value > 0 else 0
    shift = min(value, _MAX).bit_length() - _EXACT_BITS
    return _EXACT + (shift - 1) * _HALF + (min(value, _MAX) >> shift) - _HALF


def bucket_max(bucket: int) -> int:
    """The greatest value of a bucket, so that no quantile is reported lower than it is."""
    if bucket < _EXACT:
        return bucket
    shift, place = divmod(bucket - _EXACT, _HALF)
    return ((_HALF + place + 1) << (shift + 1)) - 1


class Ages:
    """Counts of ages in units of 0.1 ms."""

    __slots__ = ("buckets", "count", "largest", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.largest = 0
        self.total = 0

    def add(self, value: int) -> None:
        bucket = bucket_of(value)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += value
        if value > self.largest:
            self.largest = value

    def merge(self, other: Ages) -> None:
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def quantile(self, share: float) -> int:
        """The smallest value that at least `share` of all values do not exceed; 0 without values."""
        wanted, seen = share * self.count, 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(bucket_max(bucket), self.largest)
        return 0

    def summary_ms(self) -> dict[str, float]:
        """Count, mean and quantiles for the report, in ms."""
        if not self.count:
            return {"count": 0}
        return {
            "count": self.count,
            "mean": round(self.total / self.count / 10, 2),
            "p50": self.quantile(0.5) / 10,
            "p90": self.quantile(0.9) / 10,
            "p99": self.quantile(0.99) / 10,
            "p999": self.quantile(0.999) / 10,
            "max": self.largest / 10,
        }

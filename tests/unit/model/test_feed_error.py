from gateway.model.feed_error import FeedError, Odd, ignore


def test_an_error_is_its_reason_and_the_detail() -> None:
    assert str(FeedError("bad_time", "E='soon'")) == "bad_time: E='soon'"
    assert str(FeedError("bad_time")) == "bad_time"


def test_who_counts_nothing_ignores_what_is_odd() -> None:
    ignore(Odd.WIDENED, "o=1 h=0")

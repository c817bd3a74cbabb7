from gateway.config.nearest import nearest


def test_a_name_that_is_alike_is_suggested() -> None:
    assert nearest("prot", ["port", "host"]) == "; did you mean 'port'?"


def test_nothing_is_suggested_for_a_name_like_no_other() -> None:
    assert nearest("xyz", ["port", "host"]) == ""

"""A cluster's map as one node tells it."""

from __future__ import annotations

from typing import Any

from gateway.redis.connections import Address
from gateway.redis.slots import Slots

A, B, C = Address("10.0.0.1", 7000), Address("10.0.0.2", 7000), Address("::1", 7001)
KEY = b"klines:BTCUSDT:1m"


def node(address: Address) -> list[Any]:
    return [address.host.encode(), address.port, b"id", []]


def test_a_key_is_with_the_first_node_named_for_its_slot() -> None:
    slots = Slots([[0, 8191, node(A), node(C)], [8192, 16383, node(B)]])
    assert slots.owner(b"{a}") == B
    assert slots.owner(b"{b}") == A
    assert slots.owners == [A, B]
    assert slots.nodes == {A, B, C}


def test_only_what_stands_in_braces_decides() -> None:
    slots = Slots([[0, 8191, node(A)], [8192, 16383, node(B)]])
    assert slots.owner(b"x{b}y") == slots.owner(b"b")


def test_a_slot_that_nobody_serves_has_no_owner() -> None:
    assert Slots().owner(KEY) is None
    assert Slots().owners == []
    assert Slots([[0, 0, node(A)]]).by_owner([KEY]) == {None: [KEY]}


def test_keys_are_sorted_by_owner() -> None:
    slots = Slots([[0, 8191, node(A)], [8192, 16383, node(B)]])
    assert slots.by_owner([b"{a}1", b"{b}1", b"{a}2"]) == {B: [b"{a}1", b"{a}2"], A: [b"{b}1"]}


def test_a_node_that_does_not_know_its_own_address_is_the_one_that_was_asked() -> None:
    for unknown in (None, b""):
        assert Slots([[0, 16383, [unknown, 7000, b"id", []]]], A).owner(KEY) == A
        assert Slots([[0, 16383, [unknown, 7000, b"id", []]]]).owner(KEY) is None


def test_a_node_that_nobody_knows_how_to_reach_is_left_out() -> None:
    slots = Slots([[0, 16383, [b"?", 7000, b"id", []]]], A)
    assert (slots.owner(KEY), slots.nodes) == (None, set())


def test_what_a_redirection_says_holds_from_then_on() -> None:
    slots = Slots([[0, 16383, node(A)]])
    slots.move(KEY, B)
    assert slots.owner(KEY) == B
    assert slots.owner(b"{b}") == A
    assert B in slots.nodes


def test_maps_are_equal_when_they_own_equally() -> None:
    assert Slots([[0, 16383, node(A), node(B)]]) == Slots([[0, 16383, node(A)]])
    assert Slots([[0, 16383, node(A)]]) != Slots([[0, 16383, node(B)]])
    assert Slots() != 1

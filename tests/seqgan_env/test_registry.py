"""Registries: names in order, each of them once, and an error that lists them."""

from __future__ import annotations

from typing import Any

import pytest

from seqgan_env.registry import Registry


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    for n, name in enumerate(["pear", "apple", "fig"]):
        registry.register(name, n)
    return registry


def test_it_is_a_mapping_in_the_order_of_registration(fruits: Registry[int]) -> None:
    assert list(fruits.items()) == [("pear", 0), ("apple", 1), ("fig", 2)]
    assert len(fruits) == 3
    assert "fig" in fruits
    assert fruits["apple"] == fruits.lookup("apple") == 1


def test_a_name_is_taken_once(fruits: Registry[int]) -> None:
    with pytest.raises(ValueError, match=r"^a fruit named 'apple' is registered already$"):
        fruits.register("apple", 9)
    assert fruits["apple"] == 1


@pytest.mark.parametrize("name", ["", "red apple", "1st", "a:b", "a-b", "a.b", None, 3])
def test_a_name_is_an_identifier(fruits: Registry[int], name: Any) -> None:
    with pytest.raises(ValueError, match=f"^the name of a fruit must be an identifier, got {name!r}$"):
        fruits.register(name, 9)
    assert name not in fruits


@pytest.mark.parametrize("name", ["plum", "", None, 3, ["pear"]])
def test_an_unknown_name_is_refused_with_all_that_there_are(fruits: Registry[int], name: Any) -> None:
    with pytest.raises(ValueError, match=r"^fruit must be one of pear, apple, fig; got ") as caught:
        fruits.lookup(name)
    assert f"; got {name!r} (your own are known once their module is imported" in str(caught.value)


def test_a_subscript_is_that_of_any_mapping(fruits: Registry[int]) -> None:
    with pytest.raises(KeyError):
        fruits["plum"]
    assert fruits.get("plum") is None


def test_what_is_unregistered_is_gone_and_its_name_free(fruits: Registry[int]) -> None:
    fruits.unregister("pear")
    assert list(fruits) == ["apple", "fig"]
    with pytest.raises(ValueError, match="fruit must be one of apple, fig; got 'pear'"):
        fruits.unregister("pear")
    fruits.register("pear", 5)
    assert list(fruits.items()) == [("apple", 1), ("fig", 2), ("pear", 5)]

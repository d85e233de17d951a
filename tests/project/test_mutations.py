"""The list of mistakes that ``make mutations`` makes: each still fits the code, and names tests that can find it."""

from __future__ import annotations

import pytest

from tests.support.package import ROOT
from tools import mutations
from tools.mutations import MUTATIONS, Mutation


def test_no_two_have_the_same_name() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_fits_the_code_and_names_theory_tests(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert mutations.mutated(text, mutation) != text
    for name in mutation.tests:
        assert "mark.theory" in (ROOT / mutations.test_file(name)).read_text(encoding="utf-8")

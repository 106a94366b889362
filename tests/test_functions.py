"""The table of functions tells what the tests show, no more and no less."""

from types import ModuleType

import pytest


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_table_in_the_readme_is_the_one_the_tests_make(functions: ModuleType, readme: str) -> None:
    text = (functions.ROOT / readme).read_text(encoding="utf-8")
    assert functions.readme_with_table(readme) == text, "run: make functions"


def test_every_mark_names_a_function_that_was_asked_for(functions: ModuleType) -> None:
    assert set(functions.covered()) <= set(functions.catalogue())

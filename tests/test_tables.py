"""The tables of functions and faults tell what the tests show, no more and no less."""

from types import ModuleType

import pytest


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_table_in_the_readme_is_the_one_the_tests_make(tables: ModuleType, readme: str) -> None:
    text = (tables.ROOT / readme).read_text(encoding="utf-8")
    assert tables.readme_with_table(readme) == text, "run: make functions"


def test_the_page_of_faults_is_the_one_the_tests_make(tables: ModuleType) -> None:
    assert tables.faults_page() == (tables.ROOT / tables.FAULTS).read_text(encoding="utf-8"), "run: make functions"


def test_every_mark_names_a_function_or_a_fault_that_is_known(tables: ModuleType) -> None:
    assert set(tables.marked("covers")) <= set(tables.functions())
    assert set(tables.marked("fault")) <= set(tables.faults())

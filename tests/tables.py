"""What the tests show by their marks: functions (``covers``) in the READMEs, faults (``fault``) in ``docs/faults.md``.

``python tests/tables.py`` writes the tables anew.
"""

import ast
import functools
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
READMES = {"README.md": 0, "README.zh-CN.md": 1}
FAULTS = "docs/faults.md"
BEGIN, END = "<!-- functions: begin -->", "<!-- functions: end -->"
_HEADS = (("id", "function", "shown by"), ("编号", "功能", "验收测试"))
_FAULTS_HEAD = """# Faults, and the tests that show each

What must not go wrong, by area, and the automated tests that make it happen. Written by `make functions`.

| # | fault | shown by |
|---|---|---|
"""


def functions() -> dict[str, tuple[str, str]]:
    """Id to its line in English and in Chinese."""
    groups = tomllib.loads((TESTS / "functions.toml").read_text(encoding="utf-8"))
    return {key: (text[0], text[1]) for group in groups.values() for key, text in group.items()}


def faults() -> dict[str, str]:
    """Number to what happens."""
    groups = tomllib.loads((TESTS / "faults.toml").read_text(encoding="utf-8"))
    return {number: text for group in groups.values() for number, text in group.items()}


def marked(mark: str) -> dict[str, set[str]]:
    """What the marks of this name say, to the test files that say it."""
    return _marks()[mark]


@functools.cache
def _marks() -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {mark: defaultdict(set) for mark in ("covers", "fault")}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "pytest.mark.covers(" not in text and "pytest.mark.fault(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            mark = ast.unparse(node.func).removeprefix("pytest.mark.") if isinstance(node, ast.Call) else ""
            if mark in found and isinstance(node, ast.Call):
                for argument in node.args:
                    found[mark][str(ast.literal_eval(argument))].add(str(path.relative_to(ROOT)))
    return found


def readme_with_table(name: str) -> str:
    """The README with the functions that a test shows."""
    marks, language = marked("covers"), READMES[name]
    rows = [f"| {' | '.join(_HEADS[language])} |", "|---|---|---|"]
    rows += [
        f"| {key} | {text[language]} | {_links(marks[key])} |" for key, text in functions().items() if key in marks
    ]
    text = (ROOT / name).read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def faults_page() -> str:
    """Every fault of the catalogue, shown or not yet."""
    marks = marked("fault")
    rows = [
        f"| {number} | {text} | {_links(marks[number], '../') if number in marks else 'not yet'} |"
        for number, text in faults().items()
    ]
    return _FAULTS_HEAD + "\n".join(rows) + "\n"


def summary() -> list[str]:
    """One line of what is shown and one of what is not, of each kind."""
    lines = []
    for kind, catalogue, marks in (("functions", functions(), marked("covers")), ("faults", faults(), marked("fault"))):
        waiting = [key for key in catalogue if key not in marks]
        lines += [
            f"{kind} shown by a test: {len(marks)} of {len(catalogue)}",
            f"{kind} without a test:  {' '.join(waiting) or 'none'}",
        ]
    return lines


def _links(files: set[str], root: str = "") -> str:
    return ", ".join(f"[{Path(name).stem}]({root}{name})" for name in sorted(files))


def main() -> None:
    for name in READMES:
        (ROOT / name).write_text(readme_with_table(name), encoding="utf-8")
    (ROOT / FAULTS).write_text(faults_page(), encoding="utf-8")
    sys.stdout.write("\n".join(summary()) + "\n")


if __name__ == "__main__":
    main()

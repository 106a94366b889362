"""The table of functions, from the ``covers`` marks of the tests: ``python tests/functions.py --write``."""

import ast
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
READMES = {"README.md": 0, "README.zh-CN.md": 1}
BEGIN, END = "<!-- functions: begin -->", "<!-- functions: end -->"
HEADS = (("id", "function", "shown by"), ("编号", "功能", "验收测试"))


def catalogue() -> dict[str, tuple[str, str]]:
    """Id to its line in English and in Chinese."""
    groups = tomllib.loads((TESTS / "functions.toml").read_text(encoding="utf-8"))
    return {key: (text[0], text[1]) for group in groups.values() for key, text in group.items()}


def covered() -> dict[str, set[str]]:
    """Id to the test files that show it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.covers":
                for argument in node.args:
                    found[str(ast.literal_eval(argument))].add(str(path.relative_to(ROOT)))
    return found


def table(language: int) -> str:
    """Markdown rows of every function that a test shows."""
    marks = covered()
    rows = [f"| {' | '.join(HEADS[language])} |", "|---|---|---|"]
    for key, text in catalogue().items():
        if key in marks:
            files = ", ".join(f"[{Path(name).stem}]({name})" for name in sorted(marks[key]))
            rows.append(f"| {key} | {text[language]} | {files} |")
    return "\n".join(rows)


def readme_with_table(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(READMES[name])}\n{END}{after}"


def main() -> None:
    for name in READMES:
        (ROOT / name).write_text(readme_with_table(name), encoding="utf-8")
    waiting = [key for key in catalogue() if key not in covered()]
    sys.stdout.write(f"{len(covered())} functions shown, {len(waiting)} without a test: {' '.join(waiting)}\n")


if __name__ == "__main__":
    main()

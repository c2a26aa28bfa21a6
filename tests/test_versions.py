"""Code whose results are cached states its VERSION; when the code changes, so must the VERSION, or its author's word.

After a change that alters results, raise VERSION in that file (for nets/, samples/, runtimes/: in its __init__.py).
Then, or when results cannot have changed, state the new code: python -m tests.test_versions
"""

import ast
import hashlib
import json
from pathlib import Path

import pytest

from edgekd import plugins

STATED = Path(__file__).parent / "versions.json"
ROOT = Path(plugins.__file__).parent


class _WithoutWords(ast.NodeTransformer):
    """Drops docstrings: words do not change results. Comments are not in the tree at all."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return node


def sources(name: str) -> list[Path]:
    """The files of a plug-in ("kind.name") or of a shared module or package ("name")."""
    if name not in plugins.SHARED:
        return [plugins.declared(*name.split(".", 1)).file]
    place = ROOT / name
    return sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


def code(name: str) -> str:
    """A digest of what the files do."""
    trees = [_WithoutWords().visit(ast.parse(file.read_text(encoding="utf-8"))) for file in sources(name)]
    return hashlib.sha256("\n".join(ast.dump(tree) for tree in trees).encode()).hexdigest()[:16]


def everything() -> list[str]:
    """All that a store key may hold a VERSION of."""
    return sorted([*plugins.SHARED, *(f"{kind}.{name}" for kind in plugins.KINDS for name in plugins.names(kind))])


def state() -> dict[str, list[object]]:
    return {name: [plugins.code(name).version, code(name)] for name in everything()}


@pytest.mark.parametrize("name", everything())
def test_changed_code_has_a_new_version_or_its_authors_word(name: str) -> None:
    version, digest = json.loads(STATED.read_text(encoding="utf-8")).get(name, [0, ""])
    assert plugins.code(name).version >= 1, f"{name} states no VERSION"
    assert [plugins.code(name).version, code(name)] == [version, digest], __doc__


def test_words_do_not_count_and_code_does() -> None:
    one, other, changed = (
        ast.dump(_WithoutWords().visit(ast.parse(text)))
        for text in (
            'def f():\n    """a"""\n    return 1',
            'def f():\n    """b"""\n    # c\n    return 1',
            "def f():\n    return 2",
        )
    )
    assert one == other != changed


if __name__ == "__main__":
    STATED.write_text(json.dumps(state(), indent=1) + "\n", encoding="utf-8")

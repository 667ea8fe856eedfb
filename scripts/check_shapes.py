"""Check that public functions and attributes say the shapes of their arrays.

    python scripts/check_shapes.py            # every violation, and how many there are per folder
    python scripts/check_shapes.py --report   # the same, but the exit code is 0

A name is public when neither it nor its class begins with an underscore. It is checked when one
of its annotations names an array or a tensor, also by an alias such as ``Labels`` and inside a
list or a tuple. Its docstring must then hold a shape: ``(H, W)``, ``(N, D)``, ``(K, S, S, 3)``,
or the words "shape" or "scalar", or send its reader on: "See `Partition.areas`". Where a
docstring has a section for the parameters, the attributes or the returned value, the shape must
stand in the entry of that very array. Where several arrays have no entry, the opening text must
hold as many shapes.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "napari_gaussproto"
ARRAYS = frozenset({"NDArray", "ndarray", "ArrayLike", "Tensor"})
# A tuple whose first member is a capital, a number or "...", or a word that speaks of shapes.
SHAPE = re.compile(r"\((?:[A-Z0-9][^()]*|\.\.\.)?,[^()]*\)|\bshapes?\b|\bscalars?\b", re.IGNORECASE)
PLACE = re.compile(r"\((?!h, w|height, width)[a-z][^()]*,[^()]*\)")
ELSEWHERE = re.compile(r"\b(?:See|As) `[\w.]+`", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Violation:
    """An array whose shape is not said."""

    path: str
    line: int
    name: str
    array: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name} does not say the shape of {self.array}"


def says_shapes(text: str, count: int = 1) -> bool:
    """Whether a text holds so many shapes; a place such as ``(y, x)`` is none."""
    if ELSEWHERE.search(text):
        return True
    return sum(not PLACE.fullmatch(found.group()) for found in SHAPE.finditer(text)) >= count


def names_in(annotation: ast.expr | None) -> set[str]:
    """The names in an annotation, without the parameters of callables in it."""
    if annotation is None:
        return set()
    if isinstance(annotation, ast.Constant) and not isinstance(annotation.value, str):
        return set()
    if isinstance(annotation, ast.Constant):
        try:  # an annotation in quotes
            return names_in(ast.parse(str(annotation.value), mode="eval").body)
        except SyntaxError:
            return set()
    if isinstance(annotation, ast.Subscript) and names_in(annotation.value) & {"Callable", "type"}:
        return set()
    found = {annotation.id} if isinstance(annotation, ast.Name) else set()
    found |= {annotation.attr} if isinstance(annotation, ast.Attribute) else set()
    for child in ast.iter_child_nodes(annotation):
        found |= names_in(child) if isinstance(child, ast.expr) else set()
    return found


def aliases_in(tree: ast.Module) -> dict[str, set[str]]:
    """Names that a module gives to annotations, each with the names that it is made of."""
    return {
        node.targets[0].id: names_in(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Subscript | ast.Attribute | ast.BinOp | ast.Name)
    }


def imported_in(tree: ast.Module) -> set[str]:
    """Names that a module takes from this package."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE.name)
        for alias in node.names
    }


def array_names(trees: list[ast.Module]) -> list[frozenset[str]]:
    """For each module the names that mean arrays there: those of libraries, and aliases."""
    known = [set(ARRAYS) for _ in trees]
    aliases = [aliases_in(tree) for tree in trees]
    imported = [imported_in(tree) for tree in trees]
    grown = True
    while grown:
        everywhere = {
            name for own, made in zip(known, aliases, strict=True) for name in own & made.keys()
        }
        grown = False
        for own, made, taken in zip(known, aliases, imported, strict=True):
            new = {name for name, parts in made.items() if parts & own} | (taken & everywhere)
            grown = grown or not new <= own
            own |= new
    return [frozenset(own) for own in known]


class Checker(ast.NodeVisitor):
    """Collects the violations of one module."""

    def __init__(self, path: str, arrays: frozenset[str]) -> None:
        self._path, self._arrays = path, arrays
        self._classes: list[str] = []
        self.violations: list[Violation] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Check the attributes of a public class, then its methods."""
        if node.name.startswith("_"):
            return
        self._classes.append(node.name)
        fields = [
            (field.target.id, field.annotation)
            for field in node.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        ]
        self._check(node, [f for f in fields if not f[0].startswith("_")], ("Attributes",))
        self.generic_visit(node)
        self._classes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Check a public function or method; functions inside functions are private."""
        if node.name.startswith("_"):
            return
        if any("overload" in names_in(decorator) for decorator in node.decorator_list):
            return
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
        parameters = [(a.arg, a.annotation) for a in arguments]
        self._check(node, parameters, ("Parameters", "Other Parameters"))
        self._check(node, [("the result", node.returns)], ("Returns", "Yields"))

    def _check(
        self,
        node: ast.FunctionDef | ast.ClassDef,
        members: list[tuple[str, ast.expr | None]],
        sections: tuple[str, ...],
    ) -> None:
        arrays = [name for name, a in members if names_in(a) & self._arrays]
        if not arrays:
            return
        text = ast.get_docstring(node) or ""
        parsed = NumpyDocString(text)
        entries = [entry for section in sections for entry in parsed[section]]
        opening = "\n".join([*parsed["Summary"], *parsed["Extended Summary"]])
        described = {
            name: entries
            if name == "the result"
            else [e for e in entries if name in [n.strip("* ") for n in e.name.split(",")]]
            for name in arrays
        }
        without = sum(not own for own in described.values())
        for name, own in described.items():
            said = "\n".join("\n".join([e.type, *e.desc]) for e in own) if own else opening
            if not says_shapes(said, 1 if own else without):
                full = ".".join([*self._classes, node.name])
                if isinstance(node, ast.ClassDef):
                    full = ".".join(self._classes)
                self.violations.append(Violation(self._path, node.lineno, full, name))


def check(package: Path) -> list[Violation]:
    """All violations in a folder of modules."""
    paths = sorted(package.rglob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    violations: list[Violation] = []
    for path, tree, arrays in zip(paths, trees, array_names(trees), strict=True):
        checker = Checker(path.relative_to(package).as_posix(), arrays)
        checker.visit(tree)
        violations += checker.violations
    return violations


def folder_of(path: str) -> str:
    """The folder that a violation is counted in: two levels below the package."""
    return "/".join(Path(path).parent.parts[:2]) or "."


def summary(violations: list[Violation]) -> Iterator[str]:
    """How many violations each folder has."""
    for folder, count in sorted(Counter(folder_of(v.path) for v in violations).items()):
        yield f"{count:5d}  {folder}"
    yield f"{len(violations):5d}  in all"


def main() -> None:
    """Print the violations; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(description="Do docstrings say the shapes of arrays?")
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE)
    parser.add_argument("--report", action="store_true", help="exit with 0 in any case")
    options = parser.parse_args()
    # Classes of Qt list their signals under a heading that numpydoc does not know.
    warnings.filterwarnings("ignore", "Unknown section Signals")
    violations = sorted(check(options.package))
    print(*violations, *(summary(violations) if violations else ()), sep="\n")
    if violations and not options.report:
        sys.exit(1)


if __name__ == "__main__":
    main()

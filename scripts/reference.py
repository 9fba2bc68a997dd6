"""Builds the reference pages from docstrings, and refuses what is not documented or does not lead anywhere.

python scripts/reference.py FOLDER
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

import numpy.typing as npt
from pdoc import doc, render

ROOT = Path(__file__).resolve().parents[1]


class Group(NamedTuple):
    """Pages that belong together on the first page."""

    title: str
    text: str
    modules: tuple[str, ...]


GROUPS = (
    Group(
        "For applications",
        "QFw's own interface, and the front ends of frameworks.",
        ("qfw", "qfw.qiskit", "qfw.pennylane", "qfw_qiskit"),
    ),
    Group(
        "For plugins",
        "Protocols that engines, platforms, tools and launchers satisfy, and how they are found.",
        ("qfw.qpm.engine", "qfw.qpm.platform", "qfw.qpm.tool", "qfw.qpm.launcher", "qfw.qpm.registry"),
    ),
    Group(
        "Values",
        "What travels between application, daemon and worker; frozen, and checked where it is made.",
        tuple(
            f"qfw.model.{path.stem}"
            for path in sorted((ROOT / "src" / "qfw" / "model").glob("*.py"))
            if path.stem != "__init__"
        ),
    ),
)
OURS = ("qfw", "qfw_qiskit")


def build(folder: Path) -> list[str]:
    """Writes all pages into `folder`; what is wrong with them."""
    names = [name for group in GROUPS for name in group.modules]
    # Frameworks warn of their own affairs as they are imported; what pdoc warns of is ours.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = {name: importlib.import_module(name) for name in names}
        for module in objects.values():
            prepare(module)
    render.configure(docformat="google", show_source=False, template_directory=ROOT / "docs" / "reference")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pages = {name: page_of(module) for name, module in objects.items()}
        problems = [problem for page in pages.values() for problem in undocumented(page)]
        problems += [problem for page in pages.values() for problem in names_that_are_not(page)]
        for name, page in pages.items():
            path = folder / f"{name.replace('.', '/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(without_dead_ends(render.html_module(page, pages)), encoding="utf-8")
        (folder / "index.html").write_text(index(pages), encoding="utf-8")
        (folder / "search.js").write_text(render.search_index(pages), encoding="utf-8")
    problems += [f"warning: {warning.message}" for warning in caught]
    return problems + broken_links(folder)


def prepare(module: ModuleType) -> None:
    """Makes a module look as pdoc expects it: lazy names are there, types of fields are types."""
    for name in getattr(module, "__all__", ()):
        vars(module).setdefault(name, getattr(module, name))
    for found in vars(module).values():
        # Fields of a NamedTuple are known by the names of their types, which only its own module can resolve.
        if inspect.isclass(found) and issubclass(found, tuple) and hasattr(found, "_fields"):
            found.__new__.__annotations__ = get_type_hints(found)


def page_of(module: ModuleType) -> doc.Module:
    """What pdoc knows of a module, with the comments `#:` as docstrings of variables."""
    page = doc.Module(module)
    for member in members(page):
        if not isinstance(member, doc.Variable):
            continue
        member.annotation = readable(member.annotation)
        # A NamedTuple says of each field only its number.
        if not member.docstring or "field number" in member.docstring:
            member.docstring = comment_of(*member.taken_from)
    for function in functions(page):
        signature = function.signature
        function.signature = signature.replace(
            parameters=[
                parameter.replace(annotation=readable(parameter.annotation))
                for parameter in signature.parameters.values()
            ]
        )
    return page


def functions(namespace: doc.Namespace) -> Iterator[doc.Function]:
    """Functions and methods of our own in a module and its classes, constructors too."""
    for member in namespace.members.values():
        if member.taken_from[0].partition(".")[0] not in OURS:
            continue
        if isinstance(member, doc.Function):
            yield member
        elif isinstance(member, doc.Class):
            yield from functions(member)


class ArrayLike:
    """Stands for NumPy's, which is a union of its private types."""


# So that it is shown without a module.
ArrayLike.__module__ = "builtins"
_PARTS = frozenset(get_args(npt.ArrayLike))


def readable(annotation: Any) -> Any:
    """The same type, where it has NumPy's ArrayLike in it with that name."""
    parts = get_args(annotation)
    if get_origin(annotation) not in (Union, UnionType) or not set(parts) >= _PARTS:
        return annotation
    return Union[ArrayLike, *(part for part in parts if part not in _PARTS)]


def members(namespace: doc.Namespace) -> Iterator[doc.Doc]:
    """Public members of a module or class and of its classes, those of other packages left out."""
    named = getattr(namespace.obj, "__all__", None) if isinstance(namespace, doc.Module) else None
    for name, member in namespace.members.items():
        private = name.startswith("_") if named is None else name not in named
        if private or isinstance(member, doc.Module) or member.taken_from[0].partition(".")[0] not in OURS:
            continue
        yield member
        if isinstance(member, doc.Class):
            yield from members(member)


def undocumented(page: doc.Module) -> list[str]:
    """Modules, classes and functions without a docstring. A field's name and type may say everything."""
    silent = [] if page.docstring else [page.fullname]
    silent += [
        member.fullname
        for member in members(page)
        if not member.docstring and not isinstance(member, doc.Variable)
    ]
    return [f"{name} has no docstring" for name in silent]


def comment_of(module: str, qualname: str) -> str:
    """The comment `#:` over a variable or beside it, where its class or module assigns it; or nothing."""
    return _comments(module).get(qualname, "")


_known: dict[str, dict[str, str]] = {}


def _comments(module: str) -> dict[str, str]:
    if module not in _known:
        source = inspect.getsource(sys.modules[module])
        _known[module] = dict(_commented(ast.parse(source).body, source.splitlines(), ""))
    return _known[module]


def _commented(body: Sequence[ast.stmt], lines: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name, body=inner):
                yield from _commented(inner, lines, f"{prefix}{name}.")
            case ast.FunctionDef(name="__init__", body=inner) if prefix:
                yield from _commented(inner, lines, prefix)
            case (
                ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name))
                | ast.Assign(
                    targets=[ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name)]
                )
            ):
                above = statement.lineno - 2
                found: list[str] = []
                while above >= 0 and (text := lines[above].strip()).startswith("#:"):
                    found.insert(0, text.removeprefix("#:").strip())
                    above -= 1
                if found:
                    yield prefix + name, " ".join(found)


REFERENCE = re.compile(r"`((?:qfw|qfw_qiskit)(?:\.\w+)+)(?:\(\))?`")


def names_that_are_not(page: doc.Module) -> list[str]:
    """Full names in docstrings that are no module or member of one."""
    texts = {page.fullname: page.docstring}
    texts |= {member.fullname: member.docstring for member in members(page)}
    return [
        f"{where} speaks of {name}, which does not exist"
        for where, text in texts.items()
        for name in REFERENCE.findall(text)
        if not exists(name)
    ]


#: Groups of entry points look like modules.
ENTRY_POINTS = {"qfw.engines", "qfw.platforms", "qfw.tools", "qfw.launchers"}


def exists(name: str) -> bool:
    """Whether a full name can be reached."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if part in getattr(found, "__annotations__", {}):
                return True
            if not hasattr(found, part):
                return name in ENTRY_POINTS
            found = getattr(found, part)
        return True
    return name in ENTRY_POINTS


def index(pages: dict[str, doc.Module]) -> str:
    """The first page."""
    groups = [
        (
            group.title,
            group.text,
            [(name, pages[name].docstring.strip().splitlines()[0]) for name in group.modules],
        )
        for group in GROUPS
    ]
    version = importlib.import_module("qfw").__version__
    return render.env.get_template("index.html.jinja2").render(
        groups=groups, version=version, all_modules=pages
    )


LINK = re.compile(r'<a href="#([^"]+)">([^<]*)</a>')


def without_dead_ends(html: str) -> str:
    """A page without links to what it does not show: private bases, members of other packages' classes."""
    anchors = set(re.findall(r'id="([^"]+)"', html))
    return LINK.sub(lambda link: link[0] if link[1] in anchors else link[2], html)


class _Links(HTMLParser):
    """Collects where a page leads, and what can be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of each tag its id, and where it links to."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_links(folder: Path) -> list[str]:
    """Links between pages that lead nowhere, and all that would need a network."""
    parsed: dict[Path, _Links] = {}
    for path in folder.rglob("*.html"):
        parsed[path.resolve()] = links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
    problems = []
    for path, links in parsed.items():
        for link in links.links:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            where = f"{path.relative_to(folder.resolve())} leads to {link}"
            if parts.scheme or parts.netloc:
                problems.append(f"{where}, outside the pages")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{where}, which is no page")
            elif (
                parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].anchors
            ):
                problems.append(f"{where}, which is not on that page")
    return sorted(set(problems))


def main() -> int:
    """Builds the pages; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    problems = build(folder)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{sum(len(group.modules) for group in GROUPS)} pages: {folder / 'index.html'}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

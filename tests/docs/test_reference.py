"""The reference is built without a complaint, and shows every public name with its docstring."""

from __future__ import annotations

import html
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import qfw

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "reference.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page: Path) -> str:
    """What a reader sees, without spaces: pages break lines elsewhere."""
    shown = re.sub(r"<(style|script|svg).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"[\s`]+", "", html.unescape(re.sub(r"<[^>]+>", "", shown)))


def anchors_of(page: Path) -> set[str]:
    return set(re.findall(r'id="([^"]+)"', page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", ["qfw", "qfw.qiskit", "qfw.pennylane", "qfw_qiskit"])
def test_every_public_name_is_on_its_page_with_its_docstring(pages: Path, module: str) -> None:
    page = pages / f"{module.replace('.', '/')}.html"
    shown, anchors = text_of(page), anchors_of(page)
    for name in importlib.import_module(module).__all__:
        found = getattr(importlib.import_module(module), name)
        if isinstance(found, ModuleType):
            assert (pages / f"{found.__name__.replace('.', '/')}.html").exists(), name
            continue
        assert name in anchors, name
        if inspect.isclass(found) or inspect.isfunction(found):
            first = (inspect.getdoc(found) or "").splitlines()[0]
            assert first and re.sub(r"[\s`]+", "", first) in shown, name


def test_the_first_page_leads_to_all_others(pages: Path) -> None:
    index = (pages / "index.html").read_text(encoding="utf-8")
    others = {path.relative_to(pages).as_posix() for path in pages.rglob("*.html")} - {"index.html"}
    assert others and others == set(re.findall(r'<dt><a href="([^"]+)"', index))


def test_all_of_the_model_and_the_protocols_are_there(pages: Path) -> None:
    wanted = {f"qfw/model/{path.stem}" for path in (ROOT / "src/qfw/model").glob("[!_]*.py")}
    wanted |= {f"qfw/qpm/{name}" for name in ("engine", "platform", "tool", "launcher")}
    assert {name for name in wanted if not (pages / f"{name}.html").exists()} == set()


def test_lazy_names_of_the_public_face_are_documented(pages: Path) -> None:
    anchors = anchors_of(pages / "qfw.html")
    assert {"Session.device", "QStream.run", "Result.counts", "Program.from_qasm"} <= anchors
    assert "qfw.errors" in text_of(pages / "qfw.html") and "errors" in qfw.__all__


def test_signatures_are_readable(pages: Path) -> None:
    text = text_of(pages / "qfw.html")
    assert "parameters:Union[ArrayLike,TaskFuture,NoneType]" in text and "_NestedSequence" not in text
    assert "options:TaskOptions=TaskOptions()" in text


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ('"""A module."""\n\n\ndef silent():\n    pass\n', "bad.silent has no docstring"),
        ('"""See `qfw.model.nowhere`."""\n', "bad speaks of qfw.model.nowhere, which does not exist"),
        ('"""A module."""\n\n\ndef odd(x: "Missing"):\n    """Odd."""\n', "Missing"),
        ('"""See [there](other.html)."""\n', "leads to other.html, which is no page"),
        ('"""See [there](https://example.org)."""\n', "outside the pages"),
    ],
    ids=["no docstring", "no such name", "no such type", "no such page", "needs a network"],
)
def test_what_is_wrong_is_refused(tmp_path: Path, source: str, complaint: str) -> None:
    # A package of the test's own, under a name that counts as ours.
    (tmp_path / "bad.py").write_text(source)
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(SCRIPT.parent)!r}]\n"
        "import reference\n"
        "from pathlib import Path\n"
        "reference.OURS = (*reference.OURS, 'bad')\n"
        "reference.GROUPS = (reference.Group('Bad', '', ('bad',)),)\n"
        f"print('\\n'.join(reference.build(Path({str(tmp_path)!r}))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert complaint in done.stdout

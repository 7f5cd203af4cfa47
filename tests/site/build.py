"""Write the pages, with pdoc: a page for each public module and each example, and a search.

The README is the page of ``tinygrad_rnn``, ``examples/README.md`` that of ``examples``. There a
link to a file of the repository becomes a link to its page.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import tinygrad_rnn as tg

ROOT = Path(__file__).parents[2]
PICTURES = "examples/pictures"
#: Modules that a user imports, beside the rooms that ``tg`` itself names.
MORE = ("nn.init", "nn.utils.rnn", "ops.linalg", "testing.strategies")


def public_modules() -> list[ModuleType]:
    """``tinygrad_rnn``, its rooms and what else is imported by name.

    A room that needs a package which is not installed is left out; ``[docs]`` brings them all.
    """
    found: list[ModuleType] = [tg]
    for name in (*sorted(tg._rooms), *MORE):
        with suppress(ImportError):
            found.append(importlib.import_module(f"tinygrad_rnn.{name}"))
    return found


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, and of ``tinygrad_rnn`` what is imported when used."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
    return [*names, *sorted(tg._elsewhere)] if module is tg else list(names)


def example_modules() -> list[ModuleType]:
    """Every example with a page: the path's, the ported programs and the exercises."""
    import examples
    from examples import exercises, ported
    from examples.__main__ import names

    found = [examples, *(importlib.import_module(f"examples.{name}") for name in names())]
    for package in (ported, exercises):
        inside = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        below = [info.name for info in inside if not info.ispkg and "__" not in info.name]
        found += [package, *map(importlib.import_module, below)]
    return found


def write(folder: Path, modules: list[ModuleType]) -> list[str]:
    """Write the site into a folder, whose old content goes.

    Returns:
        What is wrong with links of the README and the examples: a sentence for each.
    """
    os.environ["PDOC_EMBED_IMAGES"] = "0"  # they would be in the search's index, too
    # Annotations of dataclasses name what their module imports, and pdoc looks at builtins alone.
    warnings.filterwarnings("ignore", "Error parsing type annotation", UserWarning)
    warnings.filterwarnings("ignore", "Failed to run TYPE_CHECKING code", UserWarning)
    import pdoc
    import pdoc.render

    if folder.exists():
        if not (folder / "search.js").exists():
            raise SystemExit(f"{folder} exists, and is no site: choose another folder")
        shutil.rmtree(folder)
    examples = example_modules()
    pages = {_source(module): module.__name__ for module in (*modules, *examples)}
    pages |= {"README.md": "tinygrad_rnn", "examples/README.md": "examples", "examples": "examples"}
    problems: list[str] = []
    for module in modules:
        module.__all__ = public_names(module)  # type: ignore[attr-defined]
        for name in module.__all__:
            setattr(module, name, getattr(module, name))
    _document(tg, ROOT / "README.md", pages, problems)
    _document(examples[0], ROOT / "examples" / "README.md", pages, problems)
    for module in examples[1:]:
        pictures = sorted((ROOT / PICTURES).glob(f"{module.__name__.rpartition('.')[2]}*.svg"))
        shown = (f"\n\n![{path.stem}](pictures/{path.name})" for path in pictures)
        module.__doc__ = (module.__doc__ or "") + "".join(shown)
    _say_what_is_elementwise(modules)

    pdoc.render.configure(
        docformat="google",
        footer_text=f"tinygrad_rnn {tg.__version__}",
        template_directory=Path(__file__).parent / "templates",
    )
    public = {
        (value.__module__, value.__qualname__)
        for module in modules
        for value in (getattr(module, name) for name in public_names(module))
        if inspect.isclass(value)
    }
    _render(pdoc, [*modules, *examples], public, folder)
    shutil.copytree(ROOT / PICTURES, folder / PICTURES)
    index = '<!doctype html><meta charset="utf-8"><title>tinygrad_rnn</title>'
    index += '<meta http-equiv="refresh" content="0; url=tinygrad_rnn.html">'
    index += '<a href="tinygrad_rnn.html">tinygrad_rnn</a>'
    (folder / "index.html").write_text(index, encoding="utf-8")
    return problems


def _render(
    pdoc: Any, documented: list[ModuleType], public: set[tuple[str, str]], folder: Path
) -> None:
    """As ``pdoc.pdoc`` does, but of these modules alone and not of all below them.

    A class has a method that it inherits from a class without a page on its own page.
    """

    def own_members(self: Any) -> list[Any]:
        own = {(self.modulename, self.qualname), self.taken_from}
        return [
            member
            for origin, members in self._members_by_origin.items()
            if origin in own or (origin not in public and origin[0].startswith("tinygrad_rnn"))
            for member in members
        ]

    pdoc.doc.Class.own_members = property(own_members)
    modules = {module.__name__: pdoc.doc.Module(module) for module in documented}
    for name, module in modules.items():
        path = folder / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        html = pdoc.render.html_module(module, modules)
        path.write_text(_without_members_elsewhere(html), encoding="utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")


def _without_members_elsewhere(html: str) -> str:
    """A page without pdoc's links to members that a class inherits and does not show."""
    places = set(re.findall(r'\bid="([^"]+)"', html))

    def kept(match: re.Match[str]) -> str:
        return match[0] if match[1] in places else match[2]

    return re.sub(r'<a href="#(\w+\.\w+)">([^<]*)</a>', kept, html)


def _source(module: ModuleType) -> str:
    return Path(inspect.getsourcefile(module) or "").resolve().relative_to(ROOT).as_posix()


def _document(module: ModuleType, page: Path, pages: dict[str, str], problems: list[str]) -> None:
    """Make a Markdown page the docstring of a module."""
    text = re.sub(r"<!--.*?-->\n*", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    base = page.parent

    def linked(match: re.Match[str]) -> str:
        target, hash_, anchor = match[2].partition("#")
        if "://" in target or not target:
            return match[0]
        path = (base / target).resolve()
        if not path.exists():
            problems.append(f"{page.relative_to(ROOT)}: there is no {target}")
            return match[0]
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() and name not in pages:
            name = f"{name}/__init__.py"
        if name in pages:
            name = f"{pages[name].replace('.', '/')}.html"
        elif not name.startswith(PICTURES):
            return match[1][1:-2]  # in the repository, and not on the site
        return f"{match[1]}{name}{hash_}{anchor})"

    module.__doc__ = re.sub(r"(\[[^][]*\]\()([^()\s]+)\)", linked, text)


def _say_what_is_elementwise(modules: list[ModuleType]) -> None:
    """What a Primitive knows about its operation's shapes need not stand in its docstring, too."""
    for name in public_names(modules[0]):
        operation = getattr(modules[0], name)
        if shape_is_known(operation):
            operation.__doc__ += "\n\nElementwise: inputs of any shapes that broadcast."


def shape_is_known(operation: Any) -> bool:
    """Whether the operation is elementwise: a Primitive says so itself."""
    return bool(getattr(getattr(operation, "primitive", None), "elementwise", False))


def public_functions(modules: list[ModuleType]) -> Iterator[tuple[str, Any, str]]:
    """Every public function, class and method: its name, itself, and the class's docstring."""
    seen: set[int] = set()
    for module in modules:
        for name in public_names(module):
            value = getattr(module, name)
            if not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{module.__name__}.{name}", value, ""
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        where = f"{module.__name__}.{name}.{method}"
                        yield where, function, inspect.getdoc(value) or ""

"""The architecture as a test: what imports what, how long things are, which names are public."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import grpo

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    p for folder in ("grpo", "service", "workers") for p in (ROOT / folder).rglob("*.py")
)
MODULES = [
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for p in SOURCES
    if p.name != "__main__.py"
]
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 50
GLOBAL_RANDOMNESS = re.compile(
    r"np\.random\.(?!default_rng|Generator|SeedSequence|PCG64|BitGenerator|Philox)\w+\(|torch\.manual_seed|"
    r"^\s*import random\b|\brandom\.(random|seed|choice|randint|shuffle)\(",
    re.MULTILINE,
)

IMPORT_AND_LISTEN = """
import os, sys
from importlib import import_module

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CONNECTS = {{"socket.connect", "socket.bind", "sqlite3.connect"}}

def listen(event, arguments):
    wrote = event == "os.mkdir" or event == "open" and arguments[2] & WRITES
    if wrote and isinstance(arguments[0], str):
        wrote = os.path.abspath(arguments[0]).startswith(os.getcwd())
    if wrote or event in CONNECTS:
        print(module, event, arguments)

module = ""
sys.addaudithook(listen)
for module in {modules!r}:
    import_module(module)
"""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def loaded_by(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PATH": ""},
    )
    return set(done.stdout.split())


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function less those of its docstring, which may be as long as it needs."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE_LINES, f"{lines} lines"
    long = {
        f"{f.name}: {lines_of_code(f)}"
        for f in functions_of(path)
        if lines_of_code(f) > MAX_FUNCTION_LINES
    }
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_draws_from_global_randomness(path: Path) -> None:
    assert not GLOBAL_RANDOMNESS.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "grpo" / "objectives").glob("[a-z]*.py")), ids=relative
)
def test_equations_state_their_axes_and_cite_their_source(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            assert "Source:" in text, f"{node.name} cites nothing"
            assert "[" in text, f"{node.name} states no axes"


def test_importing_the_library_loads_neither_torch_nor_numba_nor_scipy() -> None:
    assert not loaded_by("import grpo") & {"torch", "numba", "scipy", "gymnasium", "numpy"}


def test_validating_a_job_loads_neither_torch_nor_numba_nor_scipy() -> None:
    statement = "import grpo.config, grpo.environments.registry"
    assert not loaded_by(statement) & {"torch", "numba", "scipy"}


def test_public_names_resolve_and_unknown_ones_do_not() -> None:
    for name in grpo.__all__:
        assert getattr(grpo, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        grpo.nonsense  # noqa: B018


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """Every module can be imported; none opens a connection or writes a file of ours meanwhile."""
    code = IMPORT_AND_LISTEN.format(modules=MODULES)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("path", sorted((ROOT / "service" / "api").glob("*.py")), ids=relative)
def test_endpoints_are_thin(path: Path) -> None:
    for function in functions_of(path):
        is_endpoint = any(
            isinstance(d, ast.Call)
            and isinstance(d.func, ast.Attribute)
            and d.func.attr in {"get", "post", "put", "delete", "patch"}
            for d in function.decorator_list
        )
        if is_endpoint:
            body = function.body[1:] if ast.get_docstring(function) else function.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 12, f"{function.name} has a body of {length} lines"
            names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            assert "HTTPException" not in names


def test_every_dependency_is_pinned_and_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            requirement = line.split("#")[0].strip()
            if requirement and not requirement.startswith("-"):
                assert "==" in requirement, requirement
                package = re.split(r"[=\[]", requirement)[0]
                assert f"`{package}`" in explained, requirement


def test_the_project_file_reads_its_requirements_from_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "dependencies" not in project


def test_kernels_of_the_hospital_live_where_the_cache_looks_for_changes() -> None:
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "grpo").rglob("*.py")
        if "hospital.physics.kernel import" in path.read_text(encoding="utf-8")
        and path.parent.name != "physics"
    ]
    assert elsewhere == []

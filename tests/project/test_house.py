"""The shape of the code: levels within the packages, a test for each module, lengths, and plain docstrings.

Each check is a function over paths or text, and is shown to fail on a bad example of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from agents.sweeps import ALGORITHMS
from seqgan_env.autoregressive import CORES
from seqgan_env.discriminators import DISCRIMINATORS
from seqgan_env.metrics import METRICS, columns
from seqgan_env.rewards import REWARDS
from seqgan_env.shaping import SHAPINGS
from seqgan_env.shaping.base import LENGTH_EFFECTS
from tests.support.modules import imports_of, modules_of, write_modules
from tests.support.package import ROOT

PACKAGES = ("seqgan_env", "agents")

LEVELS: dict[str, tuple[tuple[str, ...], ...]] = {
    "seqgan_env": (
        (
            "checks",
            "files",
            "registry",
            "functions",
            "dropout",
            "seeding",
            "device",
            "descent",
            "progress",
            "parallel",
            "tokenizing",
            "merges",
            "setting_docs",
        ),
        ("tokens", "vocabulary"),
        ("ngrams",),
        ("mdp", "enumeration", "weights", "averaging", "bleu"),
        ("autoregressive",),
        ("sources", "discriminators"),
        ("constraints", "rewards", "metrics"),
        ("scoring",),
        ("shaping",),
        ("task_config",),
        ("task",),
        ("task_access",),
        ("env", "vector_env", "rendering", "wrappers"),
        ("registration", "task_docs"),
        ("hyperparams",),
    ),
    "agents": (
        ("observations",),
        ("batch_statistics", "checkpoint", "losses", "baselines", "schedules", "history", "collection"),
        ("estimator", "exploration", "monte_carlo", "policy"),
        ("agent_file", "adversary", "companions", "inner_sums", "gradient", "reranking"),
        ("sb3.features", "sb3.handle", "sb3.vec_env", "sb3.replay", "sb3.learning"),
        ("seqgan",),
        ("callbacks", "collapse", "sb3.actor_critic", "sb3.maskable", "sb3.pretraining"),
        ("runs", "rivals"),
        ("sweeps", "inspection", "judging", "play"),
        ("cli",),
        ("command",),
    ),
}
"""The modules and folders of each package, the lowest first: a module imports from its own level and those below."""

WITHOUT_A_TEST_OF_THEIR_OWN = {
    "agents/agent_file.py": "tests/agents/test_seqgan.py",
    "agents/cli/__main__.py": "tests/agents/test_cli.py",
    "agents/cli/base.py": "tests/agents/test_cli.py",
    "agents/cli/program.py": "tests/agents/test_cli.py",
    "agents/cli/training.py": "tests/agents/test_cli.py",
    "agents/cli/using.py": "tests/agents/test_cli.py",
    "agents/observations.py": "tests/agents/sb3/test_features.py",
    "agents/rivals/adversarial.py": "tests/agents/rivals/test_expert_iteration.py",
    "agents/runs/game.py": "tests/agents/runs/test_phases.py",
    "agents/runs/presets.py": "tests/agents/runs/test_config.py",
    "agents/runs/trackers/base.py": "tests/agents/runs/test_trackers.py",
    "agents/runs/trackers/services.py": "tests/agents/runs/test_trackers.py",
    "agents/runs/trackers/writer.py": "tests/agents/runs/test_trackers.py",
    "agents/sb3/learning.py": "tests/agents/test_callbacks.py",
    "agents/sb3/maskable.py": "tests/agents/sb3/test_actor_critic.py",
    "agents/sweeps/budget.py": "tests/agents/sweeps/test_work.py",
    "agents/sweeps/groups.py": "tests/agents/sweeps/test_report.py",
    "agents/sweeps/pictures.py": "tests/agents/sweeps/test_report.py",
    "agents/sweeps/stable_baselines.py": "tests/agents/sweeps/test_work.py",
    "agents/sweeps/trainers.py": "tests/agents/sweeps/test_work.py",
    "seqgan_env/autoregressive/recurrent.py": "tests/seqgan_env/autoregressive/test_cores.py",
    "seqgan_env/autoregressive/softmax.py": "tests/seqgan_env/autoregressive/test_likelihood.py",
    "seqgan_env/autoregressive/transformer.py": "tests/seqgan_env/autoregressive/test_cores.py",
    "seqgan_env/dropout.py": "tests/seqgan_env/discriminators/test_parts.py",
    "seqgan_env/functions.py": "tests/seqgan_env/test_constraints.py",
    "seqgan_env/hyperparams/a2c.py": "tests/seqgan_env/hyperparams/test_ppo.py",
    "seqgan_env/hyperparams/trpo.py": "tests/seqgan_env/hyperparams/test_ppo.py",
    "seqgan_env/sources/automaton.py": "tests/seqgan_env/sources/test_grammar.py",
    "seqgan_env/sources/base.py": "tests/seqgan_env/sources/test_oracle.py",
    "seqgan_env/sources/english.py": "tests/seqgan_env/sources/test_grammar.py",
    "seqgan_env/task_access.py": "tests/seqgan_env/test_scoring.py",
    "seqgan_env/task_config.py": "tests/seqgan_env/test_task.py",
    "seqgan_env/tokenizing.py": "tests/seqgan_env/test_vocabulary.py",
}
"""Modules that are tested through another one, and the file that does it."""

RIDDLE = re.compile(r"(What|Which|Where|Who|Whose|How)\b")
LONGEST_MODULE, LONGEST_FUNCTION = 300, 60


def upward_imports(root: Path, package: str, levels: Sequence[Sequence[str]]) -> list[str]:
    """Imports within a package that point to a higher level, and modules without a level."""
    level_of = {f"{package}.{name}": number for number, names in enumerate(levels) for name in names}

    def level(module: str) -> int | None:
        parts = module.split(".")
        prefixes = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
        return next((level_of[prefix] for prefix in prefixes if prefix in level_of), None)

    wrong = []
    for name, path in modules_of(root, package).items():
        own = level(name)
        if own is None:
            # a package's own `__init__` gathers what stands below it
            if path.name != "__init__.py":
                wrong.append(f"{name} has no level")
            continue
        for found in imports_of(name, path):
            target = level(found.target)
            if target is not None and target > own and not found.typing_only:
                wrong.append(f"{name}:{found.line} imports {found.target}")
    return wrong


def modules_without_a_test(root: Path, package: str, elsewhere: Mapping[str, str]) -> list[str]:
    """The modules of a package that have no counterpart below ``tests``."""
    missing = []
    for path in sorted((root / package).rglob("*.py")):
        relative = path.relative_to(root)
        if path.name == "__init__.py":
            continue
        test = elsewhere.get(relative.as_posix(), f"tests/{relative.parent.as_posix()}/test_{path.name}")
        if not (root / test).is_file():
            missing.append(f"{relative.as_posix()} needs {test}")
    return missing


def riddles(source: str) -> list[str]:
    """Docstrings, of attributes too, that open with a question word in place of a verb or a noun."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = node.value.value.strip()
            if RIDDLE.match(text):
                found.append(text.splitlines()[0])
    return found


def too_long(source: str) -> Iterator[str]:
    """A module over its limit without a reason in a comment, and functions over theirs, docstrings not counted."""
    n_lines = len(source.splitlines())
    if n_lines > LONGEST_MODULE and f"\n# Over {LONGEST_MODULE} lines: " not in source:
        yield f"{n_lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            n = (node.end_lineno or node.lineno) - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines())
            if n > LONGEST_FUNCTION:
                yield f"{node.name} has {n} lines"


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", LEVELS)
def test_modules_import_downwards(package: str) -> None:
    assert upward_imports(ROOT, package, LEVELS[package]) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_a_test(package: str) -> None:
    assert modules_without_a_test(ROOT, package, WITHOUT_A_TEST_OF_THEIR_OWN) == []


def test_no_exception_is_out_of_date() -> None:
    for module in WITHOUT_A_TEST_OF_THEIR_OWN:
        own = ROOT / "tests" / Path(module).parent / f"test_{Path(module).name}"
        assert (ROOT / module).is_file()
        assert not own.exists(), module


@pytest.mark.parametrize("path", sources(*PACKAGES, "benchmarks", "tools"), ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_say_what_a_thing_is(path: Path) -> None:
    assert riddles(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sources(*PACKAGES, "benchmarks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_are_short(path: Path) -> None:
    assert list(too_long(path.read_text(encoding="utf-8"))) == []


def test_every_registered_thing_declares_itself() -> None:
    for reward in REWARDS.values():
        assert reward.label
        assert reward.summary
        assert reward.source
        assert reward.unit
        assert reward.low <= reward.high
    for discriminator in DISCRIMINATORS.values():
        assert discriminator.summary
        assert discriminator.source
        assert discriminator.formula
        assert discriminator.when
        assert discriminator.kind.__doc__
    for shaping in SHAPINGS.values():
        assert shaping.summary
        assert shaping.source
        assert shaping.formula
        assert shaping.unit
        assert shaping.keeps_optimal_policy in (True, False)
        assert shaping.length_effect in LENGTH_EFFECTS
        assert shaping.length_reason
    for entry in METRICS.values():
        assert entry.metric.columns
        assert entry.metric.__doc__
    for algorithm in ALGORITHMS.values():
        assert algorithm.label
        assert algorithm.summary
        assert algorithm.source
    for column in columns().values():
        assert column.label
        assert column.unit
        assert column.help
        assert column.better in ("lower", "higher", "neither")
    for core in CORES.values():
        assert core.__doc__
        assert core.Config.__doc__


def test_an_import_upwards_and_a_module_without_a_level_are_found(tmp_path: Path) -> None:
    write_modules(tmp_path, {"p/low.py": "from p import high", "p/high.py": "from p import low", "p/new.py": ""})
    assert upward_imports(tmp_path, "p", [("low",), ("high",)]) == ["p.low:1 imports p.high", "p.new has no level"]


def test_an_import_for_types_alone_is_left_alone(tmp_path: Path) -> None:
    low = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.deep import high\n"
    write_modules(tmp_path, {"p/low.py": low, "p/deep/high.py": "import p.low"})
    assert upward_imports(tmp_path, "p", [("low",), ("deep",)]) == []


def test_a_module_without_a_test_is_found(tmp_path: Path) -> None:
    write_modules(tmp_path, {"p/__init__.py": "", "p/a.py": "", "p/q/b.py": "", "tests/p/test_a.py": ""})
    assert modules_without_a_test(tmp_path, "p", {}) == ["p/q/b.py needs tests/p/q/test_b.py"]
    assert modules_without_a_test(tmp_path, "p", {"p/q/b.py": "tests/p/test_a.py"}) == []


def test_a_riddle_is_found() -> None:
    assert riddles('"""What it is."""\nx = 1\n"""Whether it is so."""\nclass A:\n    """How so."""\n') == [
        "What it is.",
        "How so.",
    ]


def test_what_is_too_long_is_found() -> None:
    long = "def f():\n" + '    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * LONGEST_FUNCTION
    assert [*too_long(long)] == [f"f has {LONGEST_FUNCTION + 2} lines"]
    module = "x = 1\n" * (LONGEST_MODULE + 1)
    assert [*too_long(module)] == [f"{LONGEST_MODULE + 1} lines"]
    assert [*too_long(f"\n# Over {LONGEST_MODULE} lines: a table.\n{module}")] == []

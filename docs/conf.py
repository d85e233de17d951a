"""Settings of the documentation site, which ``make docs`` builds into ``build/site``.

Its pages are the Markdown of this folder, which a code host shows as well. What is made of other things is written
beside it at each build: a page and a picture for each registered task, the reference of the public names, and the
documents of the repository's root.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import gymnasium as gym
from matplotlib import pyplot
from PIL import Image

import seqgan_env
from seqgan_env import TASKS, checks

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

DOCS = Path(__file__).resolve().parent
GENERATED = ("api", "environments", "figures", "project")
"""The folders of what a build writes."""
API = (
    "seqgan_env",
    "seqgan_env.sources",
    "seqgan_env.autoregressive",
    "seqgan_env.discriminators",
    "seqgan_env.rewards",
    "seqgan_env.shaping",
    "seqgan_env.metrics",
    "seqgan_env.enumeration",
    "seqgan_env.wrappers",
    "agents",
    "agents.estimator",
    "agents.adversary",
    "agents.reranking",
    "agents.judging",
    "agents.runs.text_reward",
    "agents.runs.trackers",
    "agents.schedules",
    "agents.rivals",
    "agents.sweeps",
)
"""The modules of the reference."""
ROOT_DOCUMENTS = ("CHANGELOG", "CODE_OF_CONDUCT", "CONTRIBUTING", "SECURITY")
PICTURES = {"SeqGANGrammar-v0": "episode.gif"} | {
    env_id: f"environments/{env_id}.png" for env_id in TASKS if env_id != "SeqGANGrammar-v0"
}
"""A picture of each task, drawn at the build if it is none of the repository's."""
NOTEBOOKS = {
    "quickstart": "curve[-1] > 0.1 * random_tokens + 0.9 * best",
    "text": "held_out[-1] < 0.5 * held_out[0]",
    "reward": "reward is varied and n_different > 3.5",
    "algorithm": "all(curve[-1] > curve[0] + 0.3 for curve in curves.values())",
}
"""Each notebook, and what must be true of its names at its end."""
LONGEST_NOTEBOOK_S = 60.0

project = "seqgan-env"
copyright = "the seqgan-env authors"
release = seqgan_env.__version__
html_title = f"{project} {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name, value in vars(checks).items() if hasattr(value, "__metadata__")} | {
    "Tokens": "Tokens"
}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"  # drawn by the browser: neither a script nor the network is needed

linkcheck_retries = 2
linkcheck_anchors = False  # what a script adds to a page isn't there


def generated_pages() -> dict[str, str]:
    """The pages that are made of the registries, the modules and the root's documents, by path without suffix."""
    tasks = {f"environments/{env_id}": task_page(env_id) for env_id in TASKS}
    modules = {f"api/{module}": f"# {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n" for module in API}
    return tasks | modules | {f"project/{name.lower()}": _root_document(name) for name in ROOT_DOCUMENTS}


def task_page(env_id: str) -> str:
    """A task's section of ``docs/tasks.md`` as a page, with its picture and a table of its spaces."""
    section = _read("docs/tasks.md").split(f"\n## {env_id}\n")[1].split("\n## ")[0].strip()
    title, _, rest = re.sub(r"`docs/(\w+)\.md`", r"[\1.md](../\1.md)", section).partition("\n")
    spaces = re.findall(r"^### (Action Space|Observation Space)\n(`[^`]+`)", rest, flags=re.MULTILINE)
    rows = [
        *spaces,
        ("Import", f'`gymnasium.make("seqgan_env:{env_id}")`'),
        ("Also", "[all arguments](../tasks.md#all-arguments)"),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| **{name}** | {value} |" for name, value in rows)])
    picture = f"![An episode.](../{PICTURES[env_id]})"
    return "\n\n".join([f"# {env_id}", title, picture, table, rest.strip().replace("### ", "## ")]) + "\n"


def tasks_overview(page: str) -> str:
    """``docs/tasks.md`` with a picture and a link in the place of each task's sections."""
    toctree = "```{toctree}\n:hidden:\n\n" + "\n".join(f"environments/{env_id}" for env_id in TASKS) + "\n```\n"
    intro, *sections = page.split("\n## ")
    for i, section in enumerate(sections):
        env_id, _, rest = section.partition("\n\n")
        if env_id in TASKS:
            title, picture = rest.partition("\n")[0], f"![An episode.]({PICTURES[env_id]})"
            sections[i] = f"{env_id}\n\n{title} [Read on.](environments/{env_id}.md)\n\n{picture}\n"
    return "\n## ".join([f"{intro}\n{toctree}", *sections])


def draw_task(env_id: str, path: Path) -> None:
    """Write the picture of an episode of random tokens; of a text, one about itself."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("a text of your own\none sequence a line\nby words or by characters\n", encoding="utf-8")
        own: dict[str, Any] = {name: str(text) for name, value in TASKS[env_id].kwargs.items() if value is None}
        env = gym.make(env_id, render_mode="rgb_array", **own)
        env.reset()
        env.action_space.seed(0)
        while not env.step(env.action_space.sample())[2]:
            pass
        Image.fromarray(env.render()).save(path)  # type: ignore[arg-type]  # an array in this mode


def run_notebook(text: str, name: str, figures: Path, outcome: str = "True") -> str:
    """A notebook in MyST's Markdown with its cells run, and what they print and draw below each of them.

    Args:
        text: the notebook, whose cells are blocks of code named ``{code-cell} python``.
        name: of the notebook, for the names of the figures.
        figures: the folder that they are written to.
        outcome: what must be true at the end, as Python.

    Raises:
        RuntimeError: it is not true, or the notebook takes longer than a minute.
    """
    names: dict[str, Any] = {}
    begin = time.perf_counter()

    def run(cell: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(cell[1], f"{name}.md", "exec"), names)  # as a reader does who follows along
        shown = [f"```python\n{cell[1]}```"] + ([f"```text\n{printed.getvalue()}```"] if printed.getvalue() else [])
        for number in pyplot.get_fignums():
            file = f"{name}-{cell.start()}-{number}.svg"
            pyplot.figure(number).savefig(figures / file, bbox_inches="tight")
            shown.append(f"![What the cell draws.](../figures/{file})")
        pyplot.close("all")
        return "\n\n".join(shown)

    page = re.sub(r"```\{code-cell\} python\n(.*?)```", run, text, flags=re.DOTALL)
    if (duration_s := time.perf_counter() - begin) > LONGEST_NOTEBOOK_S:
        raise RuntimeError(f"a notebook must run within {LONGEST_NOTEBOOK_S:g} s; {name} took {duration_s:.1f} s")
    if not eval(outcome, names):
        raise RuntimeError(f"notebook {name} must end with {outcome}")
    return page


def setup(app: Sphinx) -> None:
    """Write the generated files, and connect what the extensions lack."""
    for folder in GENERATED:
        (DOCS / folder).mkdir(exist_ok=True)
    for path, text in generated_pages().items():
        file = DOCS / f"{path}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # a second build reads only what has changed
            file.write_text(text, encoding="utf-8")
    for env_id, picture in PICTURES.items():
        if not (DOCS / picture).exists():
            draw_task(env_id, DOCS / picture)
    app.connect("source-read", _on_source)
    app.connect("autodoc-process-docstring", _on_docstring, priority=100)  # before napoleon
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))


def _read(path: str) -> str:
    return (DOCS.parent / path).read_text(encoding="utf-8")


def _root_document(name: str) -> str:
    text = _read(f"{name}.md").replace("](docs/", "](../")
    return re.sub(r"\]\(([A-Z_]+)\.md", lambda link: f"]({link[1].lower()}.md", text)


def _on_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show titles where a code host shows the names of files, and lead to the site's copies of the root's documents."""
    text = tasks_overview(source[0]) if docname == "tasks" else source[0]
    if docname.startswith("notebooks/"):
        name = docname.removeprefix("notebooks/")
        text = run_notebook(text, name, DOCS / "figures", NOTEBOOKS[name])
    text = re.sub(r"\]\(\.\./([A-Z_]+)\.md", lambda link: f"](project/{link[1].lower()}.md", text)
    source[0] = re.sub(r"\[[\w/]+\.md\]\(", "[](", text)


def _on_docstring(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Turn the headings of an environment's docstring, which are Gymnasium's Markdown, into reStructuredText.

    A value's docstring gets an empty first line, before which napoleon would look for a type.
    """
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")
    lines[:] = re.sub(r"^## (.+)$", r".. rubric:: \1\n", "\n".join(lines), flags=re.MULTILINE).split("\n")


def _inline_math(translator: HTML5Translator, node: nodes.Element) -> NoReturn:
    _draw(translator, _mathml(node.astext()))


def _block_math(translator: HTML5Translator, node: nodes.Element) -> NoReturn:
    formula, *tag = re.split(r"\\tag\{(.+?)\}", node.astext())
    number = f"<span>({tag[0]})</span>" if tag else ""
    _draw(translator, f'<div class="math">{_mathml(formula, as_block=True)}{number}</div>')


def _draw(translator: HTML5Translator, html: str) -> NoReturn:
    from docutils.nodes import SkipNode

    translator.body.append(html)
    raise SkipNode


def _mathml(tex: str, as_block: bool = False) -> str:
    """A formula in MathML; a few commands of LaTeX are replaced by those that docutils knows."""
    from docutils.utils.math.latex2mathml import tex2mathml

    tex = re.sub(r"\\(big|Big)(?=[\[(])", r"\\\1l", tex)
    tex = re.sub(r"\\(big|Big)(?=[\])])", r"\\\1r", tex).replace(r"\dots", r"\ldots")
    html = str(tex2mathml(tex, as_block=as_block))
    return re.sub(r"<mo>&ApplyFunction;</mo>(?!\s*<mo)", '<mspace width="0.17em"></mspace>', html)

"""The documentation of the registered shapings, made of their registrations and settings.

The page ``docs/shaping.md`` is made by ``python -c "from seqgan_env.shaping.page import page; print(page(), end='')"``.
"""

from __future__ import annotations

from seqgan_env.setting_docs import settings_list, wrapped
from seqgan_env.shaping import SHAPINGS, ShapingEntry

_INTRO = (
    "A shaping pays something at every step, beside the terminal reward, and is chosen by name: "
    '`gymnasium.make(env_id, shaping="discriminator")`, or `shaping=["discriminator", "length"]`, whose payments add '
    'up, with settings by name in `shaping_kwargs={"length": {"weight": 0.1}}`. On the command line it is `--shaping '
    "discriminator length --shaping.length.weight 0.1`. A potential, a function `(tokens_BT, length_B) -> "
    "potential_B`, is a shaping too, as itself or by its name, `module:function`; [extending.md](extending.md) shows "
    "how to register one. Any agent takes a shaped task, except `SeqGAN` with dense values, which hold nothing of it, "
    "or with a discount, which would have to reach the payments one by one.",
    "**The best policy.** Only a difference of potentials leaves it as it is whatever the potential (Ng, Harada and "
    "Russell, 1999), if `shaping_gamma` is the discount of the agent. The others change what is asked for.",
    "**The length.** Where sequences may end early, payments of one sign teach the length before anything else: with a "
    "penalty at every step the best episode is a short one. The column says what a shaping favours where the "
    "discriminator and the reward tell no sequence from another; both columns are shown by enumeration in "
    "`tests/seqgan_env/shaping/test_declarations.py`.",
    "**What they do.** [Measured](benchmark.md#the-comparison) beside log D, with SeqGAN and PPO: `discriminator` may "
    "help PPO, whose critic has to find out which token was to blame; `prefix`, which with log D asks for short "
    "sequences, made both repeat themselves.",
)
_ELSEWHERE = (
    "A penalty for leaving a reference, −w log(π(y)/ref(y)), depends on the acting policy, which an environment does "
    "not know: it is the agent's, `kl_penalty` of `SeqGAN`, whose weight `kl_target` steers. For another agent it is "
    "`increments` of the log-likelihood of ref, with weight w, and an entropy bonus of w, as `ent_coef` of `PPO`:",
    '```python\n# reference.py\nfrom agents import SeqGAN\n\ngenerator = SeqGAN.load("agent.zip").generator\n\n\n'
    "def log_likelihood(tokens_BT, length_B):\n    return generator.sequence_log_prob(tokens_BT)\n```\n\n"
    "and, where that file can be imported,\n\n```python\nimport gymnasium\nimport seqgan_env\n\n"
    'gymnasium.make(\n    "SeqGANGrammar-v0",\n    shaping="increments",\n    shaping_kwargs={"increments": {"of": '
    '"reference:log_likelihood", "weight": 0.1}},\n)\n```',
    "Payments that depend on other episodes cannot be stateless and are wrappers. `DiversityBonus` of "
    "`seqgan_env/wrappers.py`, and `VectorDiversityBonus`, pay at the end for the share of the sequence's n-grams that "
    "no recent episode had. Running normalisation is Gymnasium's own, `gymnasium.wrappers.NormalizeReward` and "
    "`gymnasium.wrappers.vector.NormalizeReward`. `SeqGAN` and `RelabellingReplayBuffer` refuse rewards that a wrapper "
    "has changed, since they score sequences themselves.",
)


def page() -> str:
    """The content of ``docs/shaping.md``: a line of a table for each registered shaping, and a section on each."""
    head = "| name | a step pays | keeps the best policy | favours | unit | source |\n|---|---|---|---|---|---|\n"
    table = head + "\n".join(_row(name, entry) for name, entry in SHAPINGS.items())
    sections = [_section(name, entry) for name, entry in SHAPINGS.items()]
    made = "<!-- made by `seqgan_env.shaping.page.page` -->"
    elsewhere = ["## Elsewhere", *(part if part.startswith("```") else wrapped(part) for part in _ELSEWHERE)]
    return "\n\n".join(["# Shaping", *map(wrapped, _INTRO), made, table, *sections, *elsewhere]) + "\n"


def _row(name: str, entry: ShapingEntry) -> str:
    """A shaping's line in the table."""
    keeps = "yes" if entry.keeps_optimal_policy else "no"
    cells = (
        f"[`{name}`](#{name})",
        f"`{entry.formula}`" if entry.formula else "",
        keeps,
        entry.length_effect,
        entry.unit,
        entry.source,
    )
    return f"| {' | '.join(cells)} |"


def _section(name: str, entry: ShapingEntry) -> str:
    """A shaping in words, with its settings."""
    length = f"Length: {entry.length_effect}" + (f"; {entry.length_reason}." if entry.length_reason else ".")
    return f"## {name}\n\n{wrapped(f'{entry.summary} {length}')}\n\n{settings_list(entry.config)}"

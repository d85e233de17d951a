"""Measures by small language models of our own: their likelihoods in both directions, and distances of their states.

Dimensions: those of ``tokens``.
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch

from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric
from seqgan_env.metrics.features import Features, frechet_distance, precision_and_recall
from seqgan_env.seeding import derived_seed
from seqgan_env.tokens import SequenceSpec, Tokens

N_EPOCHS = 10
"""Passes over the sequences that fit a model, in which the step size falls to 0 by a cosine."""
NEIGHBOURS = 3
"""The k of precision and recall."""
FEATURE_SEED = 0
"""Of the features, whatever the run's is."""
_CORE = {"embedding_dim": 32, "hidden_dim": 64, "dropout": 0.3}
_LIKELIHOOD = LikelihoodConfig(learning_rate=0.02)
PROTOCOL = 1
"""The number of the definition of both scores, which rises with each change of it."""
FEATURE_PROTOCOL = 2
"""The number of the definition of the features; 1 were states of the model of training sequences."""
_MODEL = f"an LSTM of {_CORE['hidden_dim']} units, {N_EPOCHS} epochs"
_PROTOCOL = f"protocol {PROTOCOL}: {_MODEL}"
_FEATURES = (
    f"feature protocol {FEATURE_PROTOCOL}: comparable for one corpus and number of sequences, never with figures on "
    "other features"
)
_ROWS = 512  # sequences that are read at once


class LanguageModelScores:
    """Scores by two small language models, of real and of generated sequences, and features of a third; takes minutes.

    One LSTM is fitted by maximum likelihood to n training sequences, the other one to n generated sequences, n being
    the smaller number of the two. ``lm_forward`` is the negative log-likelihood of the generated sequences under the
    first, which is low for likely sentences, however few; ``lm_reverse`` that of the held-out sequences under the
    second, which is high where the generator misses some or makes what is not real. ``lm_real`` is that of the held-out
    sequences under the first: what a perfect generator would have of both. All are totals over the tokens, nats per
    token, at least 0.

    ``frechet`` and ``precision``, ``recall`` compare as many generated as held-out sequences by features: the mean over
    a sequence's tokens of the state, after each of them, of a third such model. It learns the validation half of the
    held-out real sequences, from which no generator learns and with which nothing is compared, and always with the same
    seed. So the features of a corpus, under one split, are the same for all runs and their seeds, and copies of the
    training set are nothing special to them. ``frechet`` is at least 0, in squared units of the state; the shares are
    in [0, 1], with 3 neighbours: precision falls with quality, recall with diversity. They have nothing in common with
    figures on other features.

    The numbers that this depends on stand in every record too. End-of-sequence is a token of these models, so that they
    score the ends too. Left out are the scores where the training set is not known, distance and shares where the
    validation half is not, and the shares also where there are too few sequences for 3 neighbours.

    Source: arXiv 1804.07972 and arXiv 1806.04936 for both scores; arXiv 1706.08500 for Fréchet's distance; arXiv
    1904.06991 for precision and recall.
    """

    columns = {
        "lm_forward": Column(
            "LM forward",
            "nats per token",
            "lower",
            f"generated sequences under a language model of training sequences ({_PROTOCOL})",
            panel="scores by language models",
            role="quality",
        ),
        "lm_reverse": Column(
            "LM reverse",
            "nats per token",
            "lower",
            f"held-out sequences under a language model of generated sequences ({_PROTOCOL})",
            panel="scores by language models",
            role="diversity",
        ),
        "lm_real": Column(
            "LM real",
            "nats per token",
            "neither",
            f"held-out sequences under a language model of training sequences ({_PROTOCOL})",
            panel="scores by language models",
            in_tables=False,
        ),
        "frechet": Column(
            "Fréchet",
            "squared units of the state",
            "lower",
            "Fréchet distance of generated and held-out sequences by mean states of a language model of the validation "
            f"half of held-out ones ({_FEATURES})",
            panel="Fréchet distance",
        ),
        "precision": Column(
            "precision",
            "share",
            "higher",
            f"generated sequences among held-out ones by the same states ({NEIGHBOURS} neighbours; {_FEATURES})",
            panel="precision and recall",
        ),
        "recall": Column(
            "recall",
            "share",
            "higher",
            f"held-out sequences among generated ones by the same states ({NEIGHBOURS} neighbours; {_FEATURES})",
            panel="precision and recall",
        ),
    } | {
        name: Column(label, unit, "neither", text, in_tables=False)
        for name, label, unit, text in (
            ("lm_sequences", "LM sequences", "sequences", "sequences that each of both language models has learned"),
            ("lm_protocol", "LM protocol", "number", f"the definition of both scores; {_PROTOCOL}"),
            (
                "feature_fit",
                "feature fit",
                "sequences",
                "held-out sequences that the model of the features has learned",
            ),
            (
                "feature_sequences",
                "feature sequences",
                "sequences",
                "sequences of each kind whose features are compared",
            ),
            (
                "feature_neighbours",
                "feature neighbours",
                "sequences",
                "the k of precision and recall by nearest neighbours",
            ),
            ("feature_protocol", "feature protocol", "number", f"the definition of the features, {_MODEL}"),
        )
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Fit the models and score."""
        found: dict[str, float] = {}
        spec, generated_BT, test_BT = batch.source.spec, batch.generated_BT, batch.test_BT
        if batch.train_BT is not None:
            n = min(len(batch.train_BT), len(generated_BT))
            of_real = _fitted_to_real(spec, batch.train_BT[:n].tobytes(), batch.seed)
            found |= {
                "lm_forward": _nll(of_real, generated_BT),
                "lm_reverse": _nll(_fitted(spec, generated_BT[:n], batch.seed), test_BT),
                "lm_real": _nll(of_real, test_BT),
                "lm_sequences": n,
                "lm_protocol": PROTOCOL,
            }
        if batch.validation_BT is not None:
            n = min(len(test_BT), len(generated_BT))
            model = _fitted_to_real(spec, batch.validation_BT.tobytes(), FEATURE_SEED)
            generated, real = (mean_states(model, rows_BT[:n]) for rows_BT in (generated_BT, test_BT))
            found |= {"feature_fit": len(batch.validation_BT), "feature_sequences": n}
            found |= {"frechet": frechet_distance(generated, real), "feature_protocol": FEATURE_PROTOCOL}
            if n > NEIGHBOURS:
                found["precision"], found["recall"] = precision_and_recall(generated, real, NEIGHBOURS)
                found["feature_neighbours"] = NEIGHBOURS
        return found


@torch.no_grad()
def mean_states(model: AutoregressiveModel, tokens_BT: Tokens) -> Features:
    """The mean over a sequence's tokens of the model's state after each of them, ``(B, H)``.

    In double precision and rounded to six decimals, so that equal sequences have equal features.

    Args:
        model: the model.
        tokens_BT: complete sequences.
    """
    spec, core = model.spec, copy.deepcopy(model.core).double()
    means = []
    for rows_BT in torch.from_numpy(tokens_BT).split(_ROWS):
        state_BTH = core(spec.with_start(rows_BT))[:, 1:]
        mask_BT1 = spec.is_token(rows_BT)[:, :, None]
        means.append((state_BTH * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1))
    features: Features = torch.cat(means).round(decimals=6).numpy()
    return features


def _fitted(spec: SequenceSpec, tokens_BT: Tokens, seed: int) -> AutoregressiveModel:
    """A language model of some sequences."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "language model"))
        model = AutoregressiveModel(spec, "lstm", **_CORE)
    trainer = MaximumLikelihoodTrainer(model, _LIKELIHOOD, seed, total_epochs=N_EPOCHS)
    for _ in range(N_EPOCHS):
        trainer.epoch(tokens_BT)
    return model


@functools.lru_cache(maxsize=2)  # the evaluations of a run share those of its training and of its validation sequences
def _fitted_to_real(spec: SequenceSpec, content: bytes, seed: int) -> AutoregressiveModel:
    """``_fitted``, once for the same sequences, which are given by their bytes."""
    return _fitted(spec, np.frombuffer(content, dtype=np.int64).reshape(-1, spec.max_length).copy(), seed)


def _nll(model: AutoregressiveModel, tokens_BT: Tokens) -> float:
    """The negative log-likelihood of some sequences, nats per token."""
    return float(-model.sequence_log_prob(tokens_BT).sum() / np.sum(model.spec.lengths(tokens_BT)))


register_metric("language_model", LanguageModelScores(), group="language_model")

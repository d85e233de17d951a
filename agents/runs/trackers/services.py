"""The trackers that the project brings: TensorBoard, Weights & Biases, MLflow and trackio."""

from __future__ import annotations

import os

from torch.utils.tensorboard import SummaryWriter

from agents.runs.folder import flat_settings
from agents.runs.trackers.base import TrackedRun, register_tracker

PROJECT = "seqgan-env"
"""The project, or experiment, of runs where the environment variable of the tracker names none."""


class TensorBoard:
    """Events in the run's folder, for ``tensorboard --logdir``."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._writer: SummaryWriter | None = None

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        if self._writer is None:  # only now: a run that can't begin leaves no files
            self._writer = SummaryWriter(str(self._run.folder / "tensorboard"), purge_step=self._run.n_kept + 1)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Weights & Biases; ``WANDB_MODE=offline`` needs no account, and ``WANDB_PROJECT`` names another project."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            group=run.group,
            config=run.settings,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off"),  # a progress bar is no log
        )

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self._run.log(values, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """MLflow, at ``MLFLOW_TRACKING_URI``; ``MLFLOW_EXPERIMENT_NAME`` names another experiment."""

    _TAG = "seqgan.run"

    def __init__(self, run: TrackedRun) -> None:
        import mlflow

        self._client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        begun = self._client.search_runs([experiment], f"tags.`{self._TAG}` = '{run.id}'", max_results=1)
        if begun:
            self._id = begun[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {self._TAG: run.id} | ({"group": run.group} if run.group else {})
        self._id = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        for key, value in flat_settings(run.settings).items():
            self._client.log_param(self._id, key, value)

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


class Trackio:
    """Trackio, in its local folder, ``TRACKIO_DIR``; ``TRACKIO_PROJECT`` names another project."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{run.name}-{run.id[:6]}",  # by which it goes on
            group=run.group,
            config=flat_settings(run.settings),
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def write(self, values: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self._run.log(values, step=step)

    def close(self, *, finished: bool) -> None:
        """See ``Tracker``."""
        self._run.finish()


register_tracker("tensorboard", TensorBoard)
register_tracker("wandb", WeightsAndBiases, package="wandb")
register_tracker("mlflow", MLflow, package="mlflow")
register_tracker("trackio", Trackio, package="trackio")

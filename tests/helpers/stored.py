"""Runs as rows alone, for what only reads them: nothing is trained."""

from __future__ import annotations

from db import reads, writes
from db.tables import ClientRound, Evaluation, Round
from engine.config import ExperimentConfig
from engine.paths import run_folder


def store(
    strategies: tuple[str, ...] = ("plora",),
    accuracies: tuple[float, ...] = (0.2, 0.6, 0.5),
    status: str = "done",
    clients: int = 2,
    **values: object,
) -> list[int]:
    """An experiment whose runs reached ``accuracies`` after rounds 0, 1, …; returns its runs."""
    rounds = len(accuracies) - 1
    config = ExperimentConfig.parse(
        {"strategies": strategies, "clients": clients, "rounds": rounds, **values}
    )
    _, runs = writes.create_experiment(
        config.model_dump(mode="json"), dict.fromkeys(strategies, rounds)
    )
    for run, strategy in zip(runs, strategies, strict=True):
        if status == "queued":
            continue
        writes.start_run(run)
        variant = "global" if strategy == "fedit" else "personal"
        for number, accuracy in enumerate(accuracies):
            add_round(run, number, accuracy, clients, variant)
        if status != "running":
            writes.end_run(run, status, wall_seconds=60)
    return runs


def add_round(
    run: int, number: int, accuracy: float, clients: int = 2, variant: str = "personal"
) -> None:
    """What a run stores after a round; of round 0 the scores alone."""
    scores = [
        Evaluation(
            run_id=run, round=number, client=k, variant=variant, scope="own",
            loss=1.0, accuracy=accuracy, samples=10,
        )
        for k in range(clients)
    ]  # fmt: skip
    if not number:
        writes.save_evaluations(scores)
        return
    trained = [
        ClientRound(
            run_id=run, round=number, client=k, samples=8, loss=0.5, seconds=1.0,
            bytes_up=10, bytes_down=20,
        )
        for k in range(clients)
    ]  # fmt: skip
    done = Round(run_id=run, round=number, seconds=2.0)
    writes.save_round(writes.RoundRecord(done, trained, scores))


def give_files(run: int, clients: int = 2) -> None:
    """Files of the last two rounds, as a finished run has them, 100 bytes each."""
    folder, last = run_folder(run), reads.run(run).rounds_done
    paths = [folder / "initial.safetensors"]
    for number in (last - 1, last):
        paths.append(folder / f"server-{number:04d}.safetensors")
        paths += [
            folder / "clients" / str(k) / f"personal-{number:04d}.safetensors"
            for k in range(clients)
        ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)

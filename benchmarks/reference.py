"""The federation as Flower's own examples write it, which ``bench speed`` is compared with.

Flower's Ray runtime and a plain ClientApp: the model is loaded for every message, pictures go
through the vision tower at every step, clients work one after another. It needs nothing of the
lab but a folder that the benchmark writes: pictures and questions ready on disk, the common start,
and the order of the batches, so that the losses can be compared.

    python benchmarks/reference.py FOLDER        prints one JSON object: seconds and losses
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor

FOLDER = Path(sys.argv[-1])
SETTING = json.loads((FOLDER / "setting.json").read_text()) if FOLDER.is_dir() else {}


class Questions(Dataset):
    """One client's questions with their pictures, read from disk."""

    def __init__(self, client: int, split: str) -> None:
        stored = np.load(FOLDER / f"{client}-{split}.npz")
        self.images, self.questions, self.answers = (stored[key] for key in stored.files)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[np.ndarray, str, str]:
        return self.images[row], str(self.questions[row]), str(self.answers[row])


def load_model() -> torch.nn.Module:
    """Load the base with a fresh LoRA adapter."""
    model = AutoModelForImageTextToText.from_pretrained(SETTING["model"])
    lora = LoraConfig(
        r=SETTING["rank"], lora_alpha=SETTING["alpha"], target_modules=SETTING["targets"]
    )
    return get_peft_model(model, lora)


def factors_of(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the LoRA factors by the names that the folder uses."""
    named = model.named_parameters()
    prefix, suffix = "base_model.model.", ".default.weight"
    return {
        name.removeprefix(prefix).removesuffix(suffix): value
        for name, value in named
        if "lora_" in name
    }


def set_factors(model: torch.nn.Module, *sources: dict[str, torch.Tensor]) -> None:
    """Copy factors into the model; later sources win."""
    own = factors_of(model)
    with torch.no_grad():
        for source in sources:
            for name, value in source.items():
                own[name].copy_(value)


def collate(processor: object, rows: list[tuple[np.ndarray, str, str]]) -> dict[str, torch.Tensor]:
    """Make a batch for the model."""
    images, questions, answers = map(list, zip(*rows, strict=True))
    batch = processor(text=questions, images=images, padding=True, return_tensors="pt")
    labels = processor.tokenizer(answers, padding=True, return_tensors="pt")
    ids = labels["input_ids"]
    return {**batch, "labels": ids.masked_fill(labels["attention_mask"] == 0, -100)}


client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Load everything, train for a round, send what is shared."""
    client = int(context.node_config["partition-id"])
    round_ = int(message.content["config"]["server-round"])
    model, processor = load_model(), AutoProcessor.from_pretrained(SETTING["model"])
    own = context.state.array_records.get("own")
    shared = message.content["arrays"].to_torch_state_dict()
    start = load_file(FOLDER / "initial.safetensors")
    set_factors(model, start, own.to_torch_state_dict() if own else {}, shared)
    order = np.load(FOLDER / "order.npz")[f"{round_}-{client}"].tolist()
    loader = DataLoader(
        Questions(client, "train"), batch_sampler=order, collate_fn=lambda r: collate(processor, r)
    )
    optimiser = torch.optim.AdamW(
        factors_of(model).values(), lr=SETTING["learning_rate"], weight_decay=0.0
    )
    losses = []
    for batch in loader:
        loss = model(**batch).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    state = {name: value.detach() for name, value in factors_of(model).items()}
    kept = {name: value for name, value in state.items() if name not in shared}
    if kept:
        context.state["own"] = ArrayRecord(kept)
    metrics = {"num-examples": len(loader.dataset), "loss": float(np.mean(losses))}
    content = {
        "arrays": ArrayRecord({name: state[name] for name in shared}),
        "metrics": MetricRecord({**metrics, "client": client}),
    }
    return Message(RecordDict(content), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Load everything, score the client's own and the pooled test set, as the lab does."""
    client = int(context.node_config["partition-id"])
    model, processor = load_model(), AutoProcessor.from_pretrained(SETTING["model"])
    own = context.state.array_records.get("own")
    start = load_file(FOLDER / "initial.safetensors")
    shared = message.content["arrays"].to_torch_state_dict()
    set_factors(model, start, own.to_torch_state_dict() if own else {}, shared)
    data = ConcatDataset([Questions(client, "test"), Questions(0, "pooled")])
    loader = DataLoader(data, batch_size=32, collate_fn=lambda rows: collate(processor, rows))
    right = 0
    with torch.no_grad():
        for batch in loader:
            hits = model(**batch).logits.argmax(-1) == batch["labels"]
            hits[:, 0] = True  # the first token is given
            right += int((hits | (batch["labels"] == -100)).all(-1).sum())
    metrics = {"num-examples": len(data), "accuracy": right / len(data)}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


class Noting(FedAvg):
    """FedAvg that also keeps each client's training loss."""

    def __init__(self, losses: list[dict[int, float]]) -> None:
        n = SETTING["clients"]
        super().__init__(min_train_nodes=n, min_evaluate_nodes=n, min_available_nodes=n)
        self.losses = losses

    def aggregate_train(self, server_round: int, replies: list[Message]) -> tuple:
        """Note, then average as FedAvg does."""
        replies = list(replies)
        metrics = [reply.content["metrics"] for reply in replies]
        self.losses.append({int(row["client"]): row["loss"] for row in metrics})
        return super().aggregate_train(server_round, replies)


def run(strategy: str) -> list[dict[int, float]]:
    """Run one strategy; returns each client's losses by round."""
    shared = {"fedit": "lora_", "plora": "lora_B"}[strategy]
    losses: list[dict[int, float]] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        start = load_file(FOLDER / "initial.safetensors")
        arrays = ArrayRecord({name: value for name, value in start.items() if shared in name})
        Noting(losses).start(grid=grid, initial_arrays=arrays, num_rounds=SETTING["rounds"])

    # As many cores for one client as there are: one after another.
    resources = {"client_resources": {"num_cpus": SETTING["cores"], "num_gpus": 0.0}}
    run_simulation(server_app, client_app, SETTING["clients"], backend_config=resources)
    return losses


if __name__ == "__main__":
    began = time.perf_counter()
    losses = {strategy: run(strategy) for strategy in SETTING["strategies"]}
    seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"seconds": seconds, "losses": losses}) + "\n")

"""Sites that bring their own data: the server has none of it, and learns numbers alone."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, Context, RecordDict

from db import reads, writes
from engine.config import ConfigError, ExperimentConfig
from engine.fl.flower import client_app, server_app
from engine.fl.flower.messages import ClientFailed
from engine.fl.resolved import resolve
from engine.fl.run_config import RunConfig
from engine.fl.runtimes.local_grid import LocalGrid
from engine.jobs.queue import create
from engine.paths import run_folder
from engine.results.crossed import crossed
from tests.helpers.datasets_for_tests import jsonl, picture, plain, row, write
from tests.helpers.runs import changed


class Sites(LocalGrid):
    """Every node has its own node config, as SuperNodes do; keeps what comes back."""

    def __init__(self, run: RunConfig, folders: list[object]) -> None:
        super().__init__(client_app.app, run.config.clients, run.to_flower())
        for context, folder in zip(self._contexts.values(), folders, strict=True):
            context.node_config |= {"dataset": f"folder:{folder}"} if folder else {}
        self.replies = []

    def send_and_receive(self, messages, *, timeout=None):
        replies = list(super().send_and_receive(messages))
        self.replies += replies
        return replies


@pytest.fixture
def sites(tiny) -> RunConfig:
    config = changed(tiny, dataset="sites", strategies=["plora"], rounds=1, local_steps=1)
    resolved = resolve(config)
    values = config.model_dump(mode="json")
    _, [number] = writes.create_experiment(values, {"plora": 1}, resolved=resolved.to_dict())
    folder = run_folder(number)
    folder.mkdir(parents=True)
    return RunConfig(number, "plora", config, folder, resolved)


def serve(run: RunConfig, grid: LocalGrid) -> None:
    context = Context(
        run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=run.to_flower()
    )
    server_app.app(grid, context)


def test_each_site_trains_on_what_it_has_and_tells_numbers(sites, tmp_path):
    first = plain(tmp_path / "first", rows=10)
    files = {"0.png": picture(5), "1.png": picture(6), "2.png": b"no picture"}
    rows = jsonl(*(row(n) for n in range(3)), row(0, question="why?", answer="secret"))
    second = write(tmp_path / "second", {**files, "metadata.jsonl": rows})
    grid = Sites(sites, [first, second])
    serve(sites, grid)
    assert reads.run(sites.run).rounds_done == 1
    clients = reads.clients(reads.run(sites.run).experiment_id)
    assert [(c.train_samples, c.test_samples, c.answers) for c in clients] == [
        (8, 2, {}),
        (2, 1, {}),
    ]
    told = [event.text for event in reads.events(sites.run)]
    assert any(t.startswith("Client 0 has 8 questions to train on and 2 to test") for t in told)
    assert any(t.startswith("Client 1 has") and "left out: " in t and "(1)" in t for t in told)
    assert {row.samples for row in reads.client_rounds(sites.run)} == {8, 2}
    scores = reads.evaluations(sites.run)
    assert {(s.client, s.scope) for s in scores} == {(0, "own"), (1, "own")}
    assert not reads.predictions(sites.run, 0)
    lines = {(line.purpose, line.direction): line.what for line in crossed(sites.run)}
    assert "how many questions" in lines["what data do you have?", "to the server"]
    assert "answers" not in lines["testing", "to the server"]
    records = [r for m in grid.replies for r in m.content.values() if isinstance(r, ConfigRecord)]
    texts = {t for r in records for v in r.values() for t in v if isinstance(t, str)}
    assert not {t for t in texts if "secret" in t or ".png" in t or t.startswith("a")}


def test_a_node_without_data_says_so(sites, tmp_path):
    with pytest.raises(ClientFailed, match='client 1 has no data: .* dataset="folder:PATH"'):
        serve(sites, Sites(sites, [plain(tmp_path / "first"), None]))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"runtime": "local"}, "dataset: sites, .* needs runtime=superlink"),
    ],
)
def test_what_cannot_be_is_refused(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        create(ExperimentConfig.parse({"dataset": "sites", **values}))

"""The Set up page with data and models that people bring."""

import io
import zipfile
from pathlib import Path

import pytest

from app.judging import verdict
from app.uploads import put_in_place
from db import reads
from engine.config import ConfigError, ExperimentConfig
from engine.fl.context import release
from engine.jobs.worker import execute, registered
from engine.metrics import METRICS
from engine.results import client_charts
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.datasets_for_tests import jsonl, picture, plain, row, write
from tests.helpers.runs import run
from tests.pages.test_pages import open_page, text_of

SITES = ("north", "south", "west")


def wards(folder: Path, rows: int = 60, **names: str) -> Path:
    """Rows of three clients, with a picture that is missing and a row without an answer."""
    files: dict = {f"{n}.png": picture(n) for n in range(rows)}
    lines = [
        {"file_name": f"{n}.png", "question": "What is it?", "answer": f"thing {n % 4}",
         "client": SITES[n % 3]}
        for n in range(rows)
    ]  # fmt: skip
    lines += [row(999, client="north"), {**row(0, client="west"), "answer": ""}]
    lines = [{names.get(key, key): value for key, value in line.items()} for line in lines]
    return write(folder, {**files, "metadata.jsonl": jsonl(*lines)})


def setup_with(source: str):
    app = open_page("setup")
    return app.selectbox(key="data.source").set_value(source).run()


def with_folder(path: Path):
    app = setup_with("folder")
    return app.text_input(key="data.folder").set_value(str(path)).run()


def newest() -> ExperimentConfig:
    return ExperimentConfig.parse(reads.runs()[0].experiment.config)


def test_a_folder_is_previewed_and_run(tmp_path, started):
    dataset = f"folder:{wards(tmp_path / 'wards')}"
    app = with_folder(tmp_path / "wards")
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert (shown["Questions"], shown["Clients"], shown["Judged by"]) == ("60", "3", "Exact match")
    problems = app.table[0].value
    assert set(problems["what is wrong"]) == {"missing picture", "empty answer"}
    text = text_of(app)
    assert "Client 0 · north" in text and "camera" not in text and "thing 0" in text
    kind = app.segmented_control(key=f"heterogeneity.kind:quickstart:{dataset}:natural")
    assert kind.value == "natural" and kind.options[0] == "its own clients"
    assert reads.preparation().config["dataset"] == dataset  # a worker warms up
    app.button(key="run").click().run()
    assert not app.exception and not app.error
    config = newest()
    assert config.dataset == dataset and config.name == "wards"
    assert (config.clients, config.heterogeneity.kind) == (3, "natural")
    assert config.data.metric == "exact"


def test_without_a_client_column_nothing_is_natural(tmp_path):
    app = with_folder(plain(tmp_path, rows=40))
    assert not app.exception and not app.error
    kind = app.segmented_control(key=f"heterogeneity.kind:quickstart:folder:{tmp_path}")
    assert kind.value == "mixed" and "its own clients" not in kind.options
    assert "No problems found" in text_of(app) and "No column says whose" in text_of(app)


def test_a_bad_path_gives_one_sentence_and_no_button(tmp_path):
    app = with_folder(tmp_path / "nowhere")
    [error] = app.error
    assert "there is no folder" in error.value and not app.exception
    assert not [button for button in app.button if button.key == "run"]
    assert reads.preparation().config["dataset"] == "world"  # as the page was opened


def test_more_clients_than_there_are_give_one_sentence(tmp_path):
    folder = wards(tmp_path / "wards")
    app = with_folder(folder)
    app.number_input(key=f"clients:quickstart:folder:{folder}:natural").set_value(9).run()
    [error] = app.error
    assert "3 clients in its column 'client'" in error.value and not app.exception


def test_columns_are_guessed_shown_and_changed(tmp_path, started):
    names = {"file_name": "image", "answer": "label", "client": "ward"}
    dataset = f"folder:{wards(tmp_path, **names)}"
    app = with_folder(tmp_path)
    assert not app.exception and not app.error
    answer = app.selectbox(key=f"data.answer:{dataset}")
    assert answer.options[0] == "label (guessed)"
    client = app.selectbox(key=f"data.client:{dataset}")
    assert client.options[0] == "none" and "ward" in client.options
    client.set_value("ward").run()
    app.selectbox(key=f"data.answer:{dataset}").set_value("question").run()
    assert not app.exception and not app.error
    assert "Client 0 · west" in text_of(app) and "question (answer)" in text_of(app)
    app.button(key="run").click().run()
    assert (newest().data.client, newest().data.answer) == ("ward", "question")


def test_columns_that_nobody_can_guess_are_asked_for(tmp_path):
    dataset = f"folder:{wards(tmp_path, answer='finding')}"
    app = with_folder(tmp_path)
    assert "no column looks like the answer" in app.error[0].value
    app.selectbox(key=f"data.answer:{dataset}").set_value("finding").run()
    assert not app.error and not app.exception and "thing 0" in text_of(app)


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return buffer.getvalue()


def test_an_upload_is_unpacked_and_stays(tmp_path, home, started):
    app = setup_with("upload")
    content = zipped(wards(tmp_path / "wards"))
    app.file_uploader(key="data.upload").upload("wards.zip", content, "application/zip").run()
    assert not app.exception and not app.error and "Client 1 · south" in text_of(app)
    app.file_uploader(key="data.upload").clear().run()
    assert "Still here: “wards”" in text_of(app) and "Client 1 · south" in text_of(app)
    app.button(key="run").click().run()
    config = newest()
    assert config.dataset.startswith(f"folder:{home}/datasets/") and config.name == "wards"
    assert len(list((home / "datasets").iterdir())) == 1


def test_an_upload_that_is_no_data_set_gives_one_sentence():
    app = setup_with("upload")
    app.file_uploader(key="data.upload").upload("x.zip", b"no zip", "application/zip").run()
    [error] = app.error
    assert "not a whole zip file" in error.value and not app.exception


class Named(io.BytesIO):
    """An upload."""

    def __init__(self, name: str, content: bytes = b"") -> None:
        super().__init__(content)
        self.name = name


def test_a_table_and_its_pictures_become_a_folder():
    table = Named("mine.jsonl", jsonl(row(0), row(1)).encode())
    folder = put_in_place([Named("0.png", picture(0)), table, Named("1.png", picture(1))])
    assert {path.name for path in folder.iterdir()} == {"0.png", "1.png", "metadata.jsonl"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.png"], "there are 0"),
        (["a.csv", "b.jsonl", "a.png"], "there are 2"),
        (["a.csv", "a.png", "a.png"], "two pictures"),
        (["a.zip", "b.zip"], "one zip"),
    ],
)
def test_files_that_do_not_belong_together(names, words):
    with pytest.raises(ConfigError, match=words):
        put_in_place([Named(name) for name in names])


def test_nothing_is_fetched_from_the_hub_before_somebody_asks(monkeypatch, tmp_path):
    fetched = []

    def fetch(name, data):
        fetched.append(name)
        raise ConfigError("dataset: the hub cannot be reached")

    monkeypatch.setattr("engine.data.user.hub.fetch", fetch)
    app = setup_with("hub")
    assert not app.exception and not app.error and not fetched
    app.button(key="data.look").click().run()
    [error] = app.error
    assert "cannot be reached" in error.value and fetched == ["openbmb/RLAIF-V-Dataset"]
    app.selectbox(key="data.hub").set_value("another one").run()
    app.text_input(key="data.hub_name").set_value(str(tmp_path)).run()
    assert "is a folder" in app.error[0].value and len(fetched) == 1


def test_a_model_has_to_be_named():
    app = open_page("setup")
    app.segmented_control(key="model.source").set_value("A folder or hub id").run()
    assert "Name the model" in app.info[0].value and not app.exception
    assert not [button for button in app.button if button.key == "run"]


def with_model(text: str):
    app = open_page("setup")
    app.segmented_control(key="model.source").set_value("A folder or hub id").run()
    return app.text_input(key="model").set_value(text).run()


def test_a_model_that_is_not_there_gives_one_sentence(tmp_path):
    app = with_model(str(tmp_path / "nowhere"))
    [error] = app.error
    assert error.value.startswith("model: ") and "nowhere" in error.value and not app.exception
    assert not [button for button in app.button if button.key == "run"]


def test_a_model_of_ones_own_is_described_and_run(checkpoint):
    folder = checkpoint("smolvlm")
    app = with_model(str(folder))
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Family"] == "SmolVLM" and {"Memory it takes", "This machine has"} <= set(shown)
    assert reads.preparation().config["model"] == "bundled"  # another is not loaded ahead
    app.button(key="run").click().run()
    assert not app.exception and not app.error
    assert newest().model == str(folder)


@pytest.mark.parametrize(
    "family",
    [
        "smolvlm",
        *(pytest.param(f, marks=pytest.mark.slow) for f in ("llava", "paligemma", "qwen2_vl")),
    ],
)
def test_a_model_of_ones_own_from_set_up_to_ask(family, tmp_path, checkpoint):
    model = checkpoint(family)
    app = open_page("setup")
    app.selectbox(key="preset").set_value("tiny").run()
    app.selectbox(key="data.source").set_value("folder").run()
    app.text_input(key="data.folder").set_value(str(wards(tmp_path / "wards"))).run()
    app.segmented_control(key="model.source").set_value("A folder or hub id").run()
    app.text_input(key="model").set_value(str(model)).run()
    assert not app.exception and not app.error
    app.button(key="run").click().run()
    assert not app.exception and not app.error
    assert (newest().model, newest().name) == (str(model), "wards")
    with registered(takes_queue=False) as worker:
        runs = sorted(row.id for row in reads.runs())
        for run_id in runs:
            execute([run_id], worker)
    assert {row.status for row in reads.runs()} == {"done"}
    plora = runs[-1]
    app = open_page("live", run=str(plora))
    assert not app.exception and "Done" in app.get("progress")[0].proto.text
    given = {p.variant for p in reads.predictions(plora, 1)}
    assert given == {"base", "global", "personal"}
    app = open_page("ask", run=str(plora), client="1")
    assert not app.exception and not app.error
    assert text_of(app).count("sure") >= 3 and "The right answer" in text_of(app)
    app.segmented_control(key="choose_source").set_value("own").run()
    app.file_uploader(key="upload").upload("0.png", picture(0), "image/png").run()
    app.text_input(key="choose_question").set_value("What is it?").run()
    assert not app.exception and not app.error and text_of(app).count("sure") >= 3


def test_how_the_model_is_run_is_part_of_the_experiment():
    app = open_page("setup")
    app.selectbox(key="device:quickstart").set_value("cpu").run()
    app.number_input(key="micro_batch:quickstart").set_value(4).run()
    app.text_input(key="lora.targets:quickstart").set_value("q_proj, v_proj").run()
    app.checkbox(key="checkpointing:quickstart").check().run()
    assert not app.exception and not app.error
    app.button(key="run").click().run()
    config = newest()
    assert (config.device, config.micro_batch, config.checkpointing) == ("cpu", 4, True)
    assert config.lora.targets == ("q_proj", "v_proj") and config.lora.rank == 8


def test_what_does_not_hold_is_told_when_run_is_pressed(tmp_path):
    app = open_page("setup")
    app.text_input(key="start:quickstart").set_value(str(tmp_path / "nowhere")).run()
    assert not app.error
    app.button(key="run").click().run()
    [error] = app.error
    assert "is no adapter folder" in error.value and not app.exception


def test_live_and_ask_name_clients_and_metric_and_mark_answers(tmp_path):
    told = {"dataset": f"folder:{wards(tmp_path, rows=48)}", "data": {"metric": "token_f1"}}
    small = {"rounds": 1, "local_steps": 1, "clients": 3, "samples_per_client": 8}
    values = {**small, **told, "strategies": ["plora"], "batch_size": 8}
    [plora] = run(ExperimentConfig.parse(values))
    app = open_page("live", run=str(plora.run))
    assert not app.exception and "Word overlap (F1) on the clients' own test sets" in text_of(app)
    names = {
        client.client: client.name for client in reads.clients(reads.run(plora.run).experiment_id)
    }
    rows = reads.client_scores(plora.run, "personal")
    figure = client_charts.per_client(reads.run(plora.run), rows, names)
    assert {note.text for note in figure.layout.annotations} == set(SITES)
    app = open_page("ask", run=str(plora.run), client="1")
    assert not app.exception and not app.error
    assert "Client 1 · south" in app.selectbox(key="choose_client").options
    assert text_of(app).count("Word overlap (F1) ") == 3 and "The right answer" in text_of(app)
    assert "camera" not in text_of(app)
    app.segmented_control(key="choose_source").set_value("own").run()
    app.file_uploader(key="upload").upload("0.png", picture(0), "image/png").run()
    assert not app.exception and "parts bins" not in text_of(app)


def test_ask_says_when_data_have_gone(tmp_path):
    folder = wards(tmp_path / "wards", rows=48)
    values = {"dataset": f"folder:{folder}", "strategies": ["zero-shot"], "clients": 3}
    [untouched] = run(ExperimentConfig.parse({**values, "samples_per_client": 8}))
    folder.rename(tmp_path / "elsewhere")
    app = open_page("ask", run=str(untouched.run))
    [error] = app.error
    assert "there is no folder" in error.value and not app.exception


def test_pages_say_when_a_model_has_gone(tmp_path):
    model = save_checkpoint("smolvlm", tmp_path / "model")
    values = {"model": str(model), "rounds": 1, "local_steps": 1, "strategies": ["fedit"]}
    [fedit] = run(ExperimentConfig.parse({**values, "clients": 2, "samples_per_client": 8}))
    assert fedit.status == "done"
    model.rename(tmp_path / "elsewhere")
    release()  # a page's own process has not loaded the model
    app = open_page("live", run=str(fedit.run))
    assert not app.exception and "round 1 done" in text_of(app)
    assert "neither asked nor exported. model: " in app.warning[0].value
    app = open_page("ask", run=str(fedit.run))
    [error] = app.error
    assert error.value.startswith("model: ") and not app.exception


def test_several_references_count_as_right():
    metric = METRICS["vqa"]
    assert verdict("The cat.", ("dog", "cat"), metric)[0] == "✓ right"
    assert verdict("cow", ("dog", "cat"), metric) == ["✗ wrong", "VQA accuracy 0%"]
    assert verdict("dog", ("dog",), METRICS["exact"]) == ["✓ right"]


def test_rows_out_of_range_are_answered_beside_their_field(tmp_path):
    app = with_folder(wards(tmp_path / "wards"))
    app.number_input(key="data.rows:quickstart:data").set_value(3).run()
    assert not app.exception and "from 16 to 1,000,000" in text_of(app)
    assert app.error[0].value.startswith("data.rows: ")
    assert not [button for button in app.button if button.key == "run"]


def test_setup_counts_what_the_model_cannot_take(tmp_path):
    lines = [row(n) for n in range(24)]
    lines[3]["question"] = " ".join(["what"] * 80)
    lines[5]["answer"] = " ".join(["red"] * 40)
    files = {f"{n}.png": picture(n) for n in range(24)}
    app = with_folder(write(tmp_path / "long", {**files, "metadata.jsonl": jsonl(*lines)}))
    assert not app.exception and not app.error
    problems = app.table[0].value
    told = dict(zip(problems["what is wrong"], problems["so"], strict=True))
    assert told["question that the model cannot read"] == "left out"
    assert told["answer cut at data.answer_tokens (12)"] == "used as it is"
    assert "23 of 24 rows are used" in text_of(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Questions"] == "23"

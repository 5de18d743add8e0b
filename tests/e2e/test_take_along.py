"""Report and bundle from Live, and a bundle opened on Start, in a real browser."""

from __future__ import annotations

import re

import pytest

from db import reads
from tests.conftest import wait_for
from tests.e2e.conftest import CHROMIUM, READY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(600),
]


def test_what_is_taken_along_from_live_is_opened_on_start(lab, page, tmp_path):
    page.set_default_timeout(120_000)
    page.goto(f"{lab.address}/live")
    page.wait_for_selector(READY)
    files = {}
    for key in ("report", "bundle"):
        with page.expect_download() as download:
            page.locator(f".st-key-{key} button").first.click()
        files[key] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[key])
    assert files["report"].read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "broken.zip").write_bytes(files["bundle"].read_bytes()[:-300])
    verdict = page.get_by_text("Worth it for").first.text_content()
    page.goto(lab.address)
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Open a bundle").click()
    upload = page.locator(".st-key-open_bundle input[type=file]")
    upload.set_input_files(tmp_path / "broken.zip")
    page.get_by_text("bundle: this is not a whole bundle").wait_for()
    page.screenshot(path=tmp_path / "broken.png")
    upload.set_input_files(files["bundle"])
    page.wait_for_url(re.compile(r"/live\?experiment=2"), wait_until="commit")
    page.wait_for_selector(READY)
    page.screenshot(path=tmp_path / "opened.png")
    assert page.get_by_text("Worth it for").first.text_content() == verdict
    assert wait_for(lambda: [run.strategy for run in reads.runs_of(2)]) == [
        "local",
        "fedit",
        "plora",
    ]

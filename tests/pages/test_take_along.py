"""Downloads on Live, and a bundle that another lab has made, on the pages of this one."""

import io

from db import reads
from engine.results import example
from engine.results.bundle.opening import open_bundle
from engine.results.bundle.writing import bundle
from tests.pages.test_pages import html_of, open_page, text_of


def test_a_bundle_shows_the_same_pages_in_an_empty_home(home, tmp_path, monkeypatch):
    example.install()
    pages = {"live": {"experiment": "1"}, "clients": {"experiment": "1"}, "ask": {"run": "3"}}
    first = {name: open_page(name, **link) for name, link in pages.items()}
    data = bundle(reads.bundled_runs()[0].experiment_id)
    monkeypatch.setenv("FEDVLM_HOME", str(tmp_path / "other"))
    assert open_bundle(io.BytesIO(data)) == 1
    for name, link in pages.items():
        page = open_page(name, **link)
        assert not page.exception and not page.error
        assert (text_of(page), html_of(page)) == (text_of(first[name]), html_of(first[name])), name
    labels = [
        button.proto.label for button in open_page("live", **pages["live"]).get("download_button")
    ]
    assert labels[:2] == ["Report", "Bundle"]

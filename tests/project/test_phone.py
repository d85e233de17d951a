"""The site in a browser as wide as a phone: nothing is cut off, and only tables, code and formulas scroll sideways."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.browser import too_wide

PAGE = """<!doctype html><meta name="viewport" content="width=device-width"><style>{style}</style>
<main style="overflow: auto"><h1>Title</h1>{body}</main>"""
WIDE = "<table><td><div style='width: 900px'>wide</div></table>"


def test_what_is_too_wide_is_found_and_what_scrolls_is_not(tmp_path: Path) -> None:
    pages = {
        "fits": PAGE.format(style="", body=f"{'word ' * 100}<div style='overflow-x: auto'>{WIDE}</div>"),
        "table": PAGE.format(style="", body=WIDE),
        "cut": PAGE.format(style="main { overflow: hidden !important }", body="x" * 300),
        "closed": PAGE.format(style="", body=f"<details><summary>More</summary><pre>{'x' * 300}</pre></details>"),
    }
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    found = too_wide(tmp_path, *((tmp_path / f"{name}.html").as_uri() for name in pages))
    innermost = {Path(url).stem: elements[-1].partition(":")[0] for url, elements in found.items()}
    assert innermost == {"table": "div", "cut": "main", "closed": "pre"}


def test_the_site_fits_a_phone(tmp_path: Path) -> None:
    site = os.environ.get("SEQGAN_SITE")
    if site is None:
        pytest.skip("`make docs` builds the site and says where it is")
    pages = [page for page in Path(site).resolve().rglob("*.html") if "_static" not in page.parts]
    assert len(pages) > 40
    assert too_wide(tmp_path, *(page.as_uri() for page in pages)) == {}

"""Takes the picture of a run's report for the README: python docs/images/workbench.py.

Trains on `examples/tickets.csv` for about a minute. Needs a Chromium on the path and the extra `browser`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_suffix(".png")
SETTINGS = "--few-shot 8 --epochs 3 --set data.test_share=0.5 --quiet --output run"
SIZE = {"width": 1100, "height": 640}
COLOURS = 128


def photograph(page: Path, picture: Path) -> None:
    """Opens a report on its most confused pair and saves what a reader sees first, as a PNG of few colours."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        view = opened.new_page(viewport=SIZE, color_scheme="light")
        view.goto(f"{page.as_uri()}#pair=1")
        view.locator("details", has_text="Nearest training texts").first.locator("summary").click()
        view.screenshot(path=picture)
        opened.close()
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def main() -> None:
    """Trains in a temporary folder and photographs the report."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copy(ROOT / "examples" / "tickets.csv", place)
        subprocess.run(
            [sys.executable, "-m", "tellapart", "train", "tickets.csv", *SETTINGS.split()],
            cwd=place,
            check=True,
        )
        photograph(place / "run" / "report.html", PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()

"""Take the picture in docs/serve.md: the page of a server.

python -m documentation.screenshots
"""

import re
import shutil
import subprocess
import sys
import time

import httpx2

from documentation.figures import ROOT

ASSETS = ROOT / "docs" / "assets"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUERY = "how long do cats sleep"
DOCUMENTS = (
    "Dogs need about half an hour of exercise a day. Some breeds need two hours.",
    "Cats are most active at dawn. They sleep for 12 to 16 hours a day. Kittens sleep even longer.",
    "The word cat is of uncertain origin. It may come from an African language.",
    "A nap of 20 minutes restores attention. Longer naps leave people drowsy.",
)


def shoot(address: str, browser: str) -> None:
    """Rank the documents on the page, and save a screenshot."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = window.new_page(viewport={"width": 1000, "height": 600})
        tab.goto(address)
        tab.wait_for_selector("#model option", state="attached")
        tab.fill("#query", QUERY)
        tab.fill("#documents", "\n".join(DOCUMENTS))
        tab.click("#go")
        tab.wait_for_selector("#results li", timeout=60_000)
        tab.screenshot(path=ASSETS / "page.png", full_page=True)
        window.close()


def main() -> None:
    """Start a server with the embedded model, and take the picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("no Chromium found; run scripts/install-browser")
    command = [sys.executable, "-m", "plackett", "serve", "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stderr.readline() if server.stderr else ""
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found is None:
                raise SystemExit(f"the server did not start: {line}")
            _wait(found[0])
            ASSETS.mkdir(exist_ok=True)
            shoot(found[0], browser)
        finally:
            server.terminate()


def _wait(address: str) -> None:
    """Wait until the model is loaded."""
    for _ in range(600):
        if httpx2.get(f"{address}/ready").is_success:
            return
        time.sleep(0.1)
    raise SystemExit("the model was not loaded in a minute")


if __name__ == "__main__":
    main()

"""Take the pictures of the documents: `make screenshots`, against the running site after the demo.

Needs Chromium on the system (`chromium`), and the accounts of the demo in the state folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from openclaw_site.config import CHECKOUT, load

# Who looks, where, in which language, and the link that is followed there (if any).
PICTURES = {
    "console": ("administrator", "/console/", "en", ""),
    "console-zh": ("administrator", "/console/", "zh-Hans", ""),
    "submission": ("partner", "/partner/", "en", "digits-reader 1."),
    "endpoint": ("tenant-admin", "/console/endpoints/", "en", "digits-cnn"),
}


def take(
    browser: Browser,
    *,
    url: str,
    username: str,
    password: str,
    path: str,
    language: str,
    follow: str,
    file: Path,
) -> None:
    """Sign in as a person and write one page as a PNG."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, locale=language, device_scale_factor=1, color_scheme="light"
    )
    page = context.new_page()
    page.goto(f"{url}/accounts/login/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")
    page.goto(f"{url}{path}")
    if follow:
        page.get_by_role("link", name=follow).first.click()
        page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # the live parts fill themselves
    page.screenshot(path=str(file))
    context.close()


def main() -> int:
    """Write every picture that is asked for (all by default)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PICTURES)}")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "docs" / "images")
    arguments = parser.parse_args()
    config = load()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("There is no Chromium here: apt-get install chromium", file=sys.stderr)
        return 1
    text = config.secrets.path("demo-accounts.json").read_text(encoding="utf-8")
    accounts = {account["username"]: account for account in json.loads(text)["accounts"]}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in arguments.names or PICTURES:
            username, path, language, follow = PICTURES[name]
            take(
                browser,
                url=config.public_url,
                username=username,
                password=accounts[username]["password"],
                path=path,
                language=language,
                follow=follow,
                file=arguments.folder / f"{name}.png",
            )
            print(arguments.folder / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

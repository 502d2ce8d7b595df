"""Looks at a status page as people do, in Debian's Chromium; run in Playwright's own environment.

Arguments: the page's address, the folder for pictures, the program's process id. Prints one object of JSON: what was
seen, by name. Whatever it waits for it waits for with a deadline, and an error ends it.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    # DNS rebinding: a name of somebody else's that leads here.
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
)  # fmt: skip
SIZES = {"wide": (1400, 900), "tablet": (820, 1100), "narrow": (360, 800)}
DEADLINE = 60_000
"""Milliseconds."""

CONTRAST = """() => {
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = colour(getComputedStyle(each).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  let worst = 21;
  for (const element of document.querySelectorAll("span, p, h1, h2, h3, h4, td, th, a, li, button")) {
    if (!element.textContent.trim() || !element.getClientRects().length) continue;
    const [one, other] = [light(colour(getComputedStyle(element).color)), light(behind(element))];
    worst = Math.min(worst, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
  }
  return worst;
}"""
"""The least contrast of a text with what is behind it (WCAG 2: 4.5 at least)."""

INLINE = """() => {
  const script = document.createElement("script");
  let refused = false;
  try { script.textContent = "window.hacked = 1"; } catch { refused = true; }
  document.body.append(script);
  let html = false;
  try { document.body.innerHTML += "<img src=x onerror='window.hacked = 1'>"; } catch { html = true; }
  return { refused, html, hacked: window.hacked ?? null };
}"""
"""What a script that got in would try."""

ELSEWHERE = """async (address) => {
  const tried = {};
  for (const [name, options] of [["cors", {}], ["blind", { mode: "no-cors" }]])
    tried[name] = await fetch(address + "fleet.json", options).then(() => "answered", () => "refused");
  tried.image = await new Promise((done) => {
    const image = new Image();
    image.onload = () => done("answered");
    image.onerror = () => done("refused");
    image.src = address + "icon.svg";
  });
  return tried;
}"""
"""What another page could try that knows the whole address."""


def main(address: str, pictures: Path, process: int) -> None:
    seen: dict[str, object] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        drawn = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]
        seen["sizes"] = [looks(browser, address, pictures, size, scheme) for size, scheme in drawn]
        seen["keyboard"] = keyboard(browser, address)
        seen["live"] = live(browser, address)
        seen["unscripted"] = unscripted(browser, address)
        seen["inline"] = fresh(browser, address).evaluate(INLINE)
        seen["elsewhere"] = elsewhere(browser, address)
        seen["ended"] = ended(browser, address, process)
    print(json.dumps(seen))


def fresh(browser: Browser, address: str, **context: object) -> Page:
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(DEADLINE)
    page.goto(address)
    return page


def looks(browser: Browser, address: str, pictures: Path, size: str, scheme: str) -> dict[str, object]:
    """One size in one scheme: all closed, then all open, each on a picture."""
    wide, high = SIZES[size]
    page = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=scheme).new_page()
    page.set_default_timeout(DEADLINE)
    trouble: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.goto(address)
    page.screenshot(path=pictures / f"{size}-{scheme}.png", full_page=True)
    overflow = [page.evaluate("document.documentElement.scrollWidth - innerWidth")]
    contrast = [page.evaluate(CONTRAST)]
    # All at once: between two questions the page may come anew, and what was found before is not in it any more.
    opened = page.evaluate("[...document.querySelectorAll('details')].map(each => (each.open = true)).length")
    page.screenshot(path=pictures / f"{size}-{scheme}-open.png", full_page=True)
    overflow.append(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
    contrast.append(page.evaluate(CONTRAST))
    found = {
        "size": size, "scheme": scheme, "trouble": trouble, "hosts": sorted(asked), "overflow": max(overflow),
        "contrast": min(contrast), "opened": opened, "cards": page.locator("details.model").count(),
        "states": page.locator("details.model .state").all_inner_texts(),
        "background": page.evaluate("getComputedStyle(document.body).backgroundColor"),
    }  # fmt: skip
    page.context.close()  # or it would go on asking
    return found


def keyboard(browser: Browser, address: str) -> dict[str, object]:
    """From the address bar to an open model and the scroll bar of its table, without a mouse."""
    page = fresh(browser, address, viewport={"width": 360, "height": 800})
    page.keyboard.press("Tab")
    skip = page.evaluate(
        "[document.activeElement.textContent, document.activeElement.getBoundingClientRect().left >= 0]"
    )
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.tagName")
    page.keyboard.press("Enter")
    opened = page.evaluate("document.activeElement.parentElement.open")
    page.keyboard.press("Tab")
    region = page.evaluate("[document.activeElement.className, document.activeElement.getAttribute('aria-label')]")
    return {"skip": skip, "first": first, "opened": opened, "region": region}


def live(browser: Browser, address: str) -> dict[str, object]:
    """The page while the cluster changes: what is open stays open, what has the focus keeps it; a pause is one."""
    page = fresh(browser, address)
    before = page.inner_text("#asof")
    page.focus("details.model >> nth=2 >> summary")
    page.keyboard.press("Enter")
    name = page.evaluate("document.activeElement.parentElement.id")
    page.wait_for_function("before => document.getElementById('asof').textContent !== before", arg=before)
    kept = page.evaluate("[document.activeElement.tagName, document.activeElement.parentElement.id]")
    opened = page.evaluate("name => document.getElementById(name).open", name)
    page.click("#pause")
    pressed = page.get_attribute("#pause", "aria-pressed")
    held = page.inner_text("#asof")
    other = fresh(browser, address)
    other.wait_for_function("held => document.getElementById('asof').textContent !== held", arg=held)
    still = page.inner_text("#asof") == held
    page.click("#pause")
    page.wait_for_function("held => document.getElementById('asof').textContent !== held", arg=held)
    return {"name": name, "kept": kept, "opened": opened, "pressed": pressed, "still": still}


def unscripted(browser: Browser, address: str) -> dict[str, object]:
    """Without scripts: it is filtered by its form, and comes anew by itself."""
    page = fresh(browser, address, java_script_enabled=False)
    page.fill("input[name=q]", "canary")
    page.click("form button")
    page.wait_for_url("**q=canary**")
    cards = page.locator("details.model").count()
    with page.expect_navigation():  # by itself
        pass
    return {"cards": cards, "after": page.locator("details.model").count()}


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = self.server.framed  # type: ignore[attr-defined]
        content = f"<!DOCTYPE html><title>elsewhere</title><iframe src='{address}'></iframe>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def elsewhere(browser: Browser, address: str) -> dict[str, object]:
    """Another page of this machine, and one of the internet that has its name lead here; both know the address."""
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        server.framed = address  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = fresh(browser, f"http://127.0.0.1:{server.server_port}/")
        tried = page.evaluate(ELSEWHERE, address)
        frame = page.frames[1]
        framed = frame.locator("details.model").count()
        server.shutdown()
    url = urlsplit(address)
    page = browser.new_page()
    answer = page.goto(f"http://evil.example:{url.port}{url.path}")
    assert answer is not None
    rebound = {"status": answer.status, "text": page.inner_text("body")}
    return {**tried, "framed": framed, "rebound": rebound}


def ended(browser: Browser, address: str, process: int) -> dict[str, object]:
    """The program ends under an open page."""
    page = fresh(browser, address)
    os.kill(process, signal.SIGTERM)
    page.wait_for_selector("#silent:not([hidden])")
    return {"said": page.inner_text("#silent"), "cards": page.locator("details.model").count(), "title": page.title()}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

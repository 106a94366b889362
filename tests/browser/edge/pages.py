"""What the browser tests share: a page at a size in a language, pictures of it, and what must hold for each picture."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.unit.edge_work.ward import PIN

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
SIZES = {"desktop": (1280, 800), "pda": (480, 800), "cabinet": (1280, 800)}
LANGUAGES = ("zh-CN", "en")
KEY_EACH_S = 0.002
# A stream or a request that the network cut: the browser and htmx print it, the page says it in its own words.
_CUT = re.compile(r"ERR_|status of|^htmx:(afterRequest|sendError|sseError), |^(\[object )?Event\]?$")
# Product texts, names, codes, units of spec and device names are the hospital's own in every language.
_LATIN_WORD = re.compile(r"[a-z]{3,}")
_OVERFLOWS = """() => [...document.querySelectorAll('body *')].filter(e => {
  const s = getComputedStyle(e); const r = e.getBoundingClientRect();
  if (!r.width || s.visibility === 'hidden' || e.closest('svg, .sr, [hidden]')) return false;
  const clips = ['hidden', 'clip'].includes(s.overflowX) && s.textOverflow !== 'ellipsis' && e.tagName !== 'PROGRESS'
    && !['INPUT'].includes(e.tagName);
  return r.right > innerWidth + 1 || (clips && e.scrollWidth > e.clientWidth + 1);
}).map(e => e.outerHTML.slice(0, 120))"""
_DRAWN = """() => document.fonts.ready.then(() =>
  new Promise(then => requestAnimationFrame(() => requestAnimationFrame(then))))"""
_SMALL = """(least) => [...document.querySelectorAll('button, summary, input:not([type=hidden])')].filter(e => {
  const r = e.getBoundingClientRect(); return r.width && (r.height < least - 0.5 || r.width < least - 0.5);
}).map(e => e.outerHTML.slice(0, 120))"""
_TEXTS = """() => { const out = []; const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (w.nextNode()) { const p = w.currentNode.parentElement;
    if (p.closest('[lang=en], .code, .brand, script, [data-theirs], .keys') || !p.checkVisibility()) continue;
    if (w.currentNode.data.trim()) out.push(w.currentNode.data.trim()); } return out; }"""


@asynccontextmanager
async def opened(browser: Browser, url: str, *, size: str, lang: str) -> AsyncIterator[Page]:
    """A page that fails the test for every script error or refused script."""
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, locale=lang, has_touch=True)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            errors.append(message.text) if message.type == "error" and not _CUT.search(message.text) else None
        ),
    )
    await page.goto(f"{url}{'/pda' if size == 'pda' else '/'}?lang={lang}")
    yield page
    assert errors == [], f"the page says: {errors}"
    await context.close()


async def sign_in(page: Page, person: str = "P001") -> None:
    await page.fill("input[name=person]", person)
    await page.fill("input[name=pin]", PIN)
    await page.click("#sign-in button.main")
    await page.wait_for_selector("#sign-in", state="detached")
    await page.wait_for_load_state()


async def sign(page: Page, form: str, person: str) -> None:
    """As the second person."""
    await page.fill(f"{form} [name=witness]", person)
    await page.fill(f"{form} [name=witness_pin]", PIN)
    await page.click(f"{form} button.main")


async def pull_trigger(page: Page, code: str) -> None:
    """What a scanner that acts as a keyboard types: the code and Enter, a key each 2 ms, however busy we are."""
    # A key before the scripts of a page are there is nobody's.
    await page.wait_for_load_state()
    browser = await page.context.new_cdp_session(page)
    first = time.time()
    keys = [{"key": letter, "text": letter} for letter in code] + [{"key": "Enter", "text": "\r"}]
    await asyncio.gather(
        *(
            browser.send("Input.dispatchKeyEvent", {**key, "type": stroke, "timestamp": first + number * KEY_EACH_S})
            for number, key in enumerate(keys)
            for stroke in ("keyDown", "keyUp")
        )
    )
    await browser.detach()


async def picture(page: Page, name: str, *, lang: str, least: int = 44) -> None:
    """Take a picture, and check what can be checked without eyes."""
    SCREENSHOTS.mkdir(exist_ok=True)
    await page.wait_for_load_state()
    await page.evaluate(_DRAWN)
    await page.screenshot(path=SCREENSHOTS / f"edge-{name}-{lang}.png", full_page=True, animations="disabled")
    clipped = await page.evaluate(_OVERFLOWS)
    assert clipped == [], f"{name} is clipped: {clipped}"
    small = await page.evaluate(_SMALL, least)
    assert small == [], f"{name} has targets below {least} px: {small}"
    if lang == "zh-CN":
        texts = await page.evaluate(_TEXTS)
        english = [text for text in texts if _LATIN_WORD.search(text) and not _is_theirs(text)]
        assert english == [], f"{name} has English left: {english}"


def _is_theirs(text: str) -> bool:
    """Names of devices, places and drugs' strengths are not ours to translate."""
    return bool(
        re.fullmatch(r"[\d.,:/× ]*(mg|mL|g|mm|ml|mL:10mg)[\d.,:/× \w一-鿿]*", text)
        or re.fullmatch(r"[a-z]+(-[a-z]+)*-\d+", text)
    )

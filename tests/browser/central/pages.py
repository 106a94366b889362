"""What every browser test of the console does: open, sign in, take a picture and look at it."""

import pathlib

from playwright.async_api import Browser, Page

from tests.integration.central_faces.hospital import PIN

SCREENSHOTS = pathlib.Path(__file__).parents[2] / "screenshots"
SIZE = {"width": 1440, "height": 900}
_CUT_OFF = (
    "[...document.querySelectorAll('.panel')].filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.className)"
)


async def open_page(chromium: Browser, address: str, language: str) -> tuple[Page, list[str]]:
    """The page to sign in at, and what its console complains of."""
    context = await chromium.new_context(viewport=SIZE, locale="zh-CN", base_url=address)  # type: ignore[arg-type] # a dict
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"/sign-in?lang={language}")
    return page, complaints


async def sign_in(page: Page, person: str = "n01") -> None:
    await page.fill("input[name=person]", person)
    await page.fill("input[name=pin]", PIN)
    await page.click("form.sign-in button")
    await page.wait_for_url("**/pool")


async def picture(page: Page, name: str, language: str, *, is_whole: bool = True) -> None:
    """Take a picture of the page, or of its first screen, and check that nothing is cut off at its side."""
    # A click returns when the next page begins: before its style is there, a page has no shape to look at.
    await page.wait_for_load_state()
    SCREENSHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"console-{name}-{language}.png", full_page=is_whole)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZE["width"], f"{name} is {width} wide"
    assert await page.evaluate(_CUT_OFF) == [], name

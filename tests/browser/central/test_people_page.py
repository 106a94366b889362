"""Users and roles: naming the first administrator puts roles in force; every change has two people's names."""

import pytest
from playwright.async_api import Browser, Page, expect

from central.stock.roles import PersonChange, Role
from tests.browser.central.pages import open_page, picture, sign_in
from tests.integration.central_faces.hospital import PIN, Hospital, serving

pytestmark = pytest.mark.browser


async def sign(page: Page, witness: str = "n02", pin: str = "1357") -> None:
    await page.fill("details.act input[name=witness]", witness)
    await page.fill("details.act input[name=pin]", pin)
    await page.click("details.act button.main")


@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_people_get_roles_by_two_people(chromium: Browser, hospital: Hospital, language: str) -> None:
    await hospital.stock()
    roles = hospital.services.roles
    async with serving(hospital) as address:
        page, complaints = await open_page(chromium, address, language)
        await sign_in(page)
        await page.goto("/people")
        await expect(page.locator(".sentence.unwell")).to_be_visible()
        await picture(page, "people-open", language)

        await page.click("tbody a >> text=n01")
        await page.check("input[name=role][value=administrator]")
        await sign(page, pin="0000")
        await expect(page.locator(".cause")).to_be_visible()
        assert await page.is_checked("input[name=role][value=administrator]"), "what was entered is kept"
        assert roles.holders(Role.ADMINISTRATOR) == {}
        await sign(page)
        await expect(page.locator(".signed li")).to_have_count(1)
        assert list(roles.holders(Role.ADMINISTRATOR)) == ["n01"]

        await page.click("details.act a.button")
        await page.click("details.act summary")
        await page.fill("details.act input[name=id]", "n03")
        await page.fill("details.act input[name=name]", "赵敏")
        await page.fill("details.act input[name=new_pin]", "8642")
        await page.check("input[name=role][value=manager]")
        await sign(page)
        await expect(page.locator(".signed li")).to_have_count(2)
        assert roles.holders(Role.MANAGER) == {"n03": "赵敏"}
        await picture(page, "people-changed", language)

        await page.goto("/people?id=n01")
        await page.uncheck("input[name=role][value=administrator]")
        await sign(page)
        await expect(page.locator(".cause")).to_be_visible()
        assert roles.is_in_force, "the last administrator stays"
        await picture(page, "people-last", language)
        await page.goto("/people?id=n0")
        await expect(page.locator("details.act summary")).to_be_visible()
        assert await page.input_value("details.act input[name=id]") == "", "a part of a number is nobody"
        await page.goto("/people?name=nobody")
        await expect(page.locator(".empty h2")).to_be_visible()
        assert [text for text in complaints if "401" not in text and "422" not in text] == []


async def test_who_has_no_role_decides_nothing(chromium: Browser, hospital: Hospital) -> None:
    await hospital.stock()
    await hospital.services.roles.change(
        PersonChange(
            id="n01",
            name="李敏",
            badge="b-1",
            pin="",
            is_active=True,
            roles=frozenset({Role.ADMINISTRATOR}),
            operator="n01",
            witness="n02",
        )
    )
    async with serving(hospital) as address:
        page, _ = await open_page(chromium, address, "zh-CN")
        await page.fill("input[name=person]", "n02")
        await page.fill("input[name=pin]", "1357")
        await page.click("form.sign-in button")
        await page.goto("/people")
        await expect(page.locator("details.act")).to_have_count(0)
        await expect(page.locator(".sentence")).to_contain_text("李敏")
        await page.goto("/recalls")
        await page.select_option("details.act select[name=product]", "P-AMLO")
        await page.fill("details.act input[name=reason]", "裂片")
        await page.fill("details.act input[name=witness]", "n01")
        await page.fill("details.act input[name=pin]", PIN)
        await page.click("details.act button.danger")
        await expect(page.locator(".fault")).to_contain_text("403")
        await expect(page.locator(".fault")).not_to_contain_text("administrator")
        await picture(page, "people-forbidden", "zh-CN")
    assert hospital.ledger.connection.execute("SELECT count(*) FROM recall").fetchone()[0] == 0

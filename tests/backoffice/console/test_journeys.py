"""The console as people use it: a real browser, a real office, a real engine."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from backoffice.context import Context
from backoffice.demo import catalogue, people
from backoffice.notices import notify
from tests.backoffice.conftest import PASSWORD
from tests.backoffice.console.conftest import NARROW, Desk, Site
from tests.backoffice.payments.institution import account, product
from tests.backoffice.payments.messages import pain001
from tests.backoffice.sales.test_sales import BOLD, customer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def title_of(desk: Desk) -> str:
    await desk.settled()
    return str(await desk.page.locator("h1").inner_text())


async def test_money_moves_once_however_often_somebody_clicks(site: Site) -> None:
    await site.user("chen", "陈晓", "teller")
    payer, payee = await account(site.bank, 500_000), await account(site.bank, 20_000)
    desk = await site.desk()
    await desk.log_on("chen")
    await desk.open("/pay?kind=transfer")
    await desk.field("付款账户", payer["number"])
    await desk.field("收款账户", payee["number"])
    await desk.press("核对")
    assert await desk.page.locator("[aria-invalid]").count() == 1, "the amount is missing"
    await desk.field("金额", "１,２３４.50")  # as an input method for Chinese writes it
    await desk.field("用途", "房租")
    await desk.press("核对")
    dialog = desk.page.locator("dialog[open]")
    assert "CNY 1,234.50" in await dialog.inner_text()
    await desk.picture("pay-confirm", full=False)

    async def lost(route: Any) -> None:
        """Let the request through, and lose the answer."""
        await route.fetch()
        await route.abort()

    await desk.page.route("**/payments/transfers", lost, times=1)
    await desk.press("确认办理")
    await desk.page.get_by_text("可以放心再次提交").wait_for()
    assert any("ERR_FAILED" in fault for fault in desk.faults)  # the browser tells of the lost answer, too
    desk.faults.clear()
    await desk.press("核对")
    await desk.page.get_by_role("button", name="确认办理").dblclick()
    await desk.page.get_by_text("交易已完成").wait_for()
    await desk.picture("pay-done")
    await desk.open(f"/statement?account={payee['number']}")
    shown = await desk.page.locator("#main").inner_text()
    assert "CNY 1,434.50" in shown
    assert shown.count("CNY 1,234.50") == 1, "paid once"
    await desk.picture("statement-zh")
    await desk.open("/payments")
    assert await desk.page.locator("tbody tr").count() == 3
    assert (await desk.page.locator("caption").first.inner_text()).startswith("交易")
    await desk.picture("payments-zh")
    await desk.page.locator("tbody a").first.click()
    await desk.page.get_by_text("账务分录").first.wait_for()
    await desk.settled()
    await desk.picture("payment-zh")
    await desk.open("/pay?kind=withdrawal")
    await desk.field("付款账户", payee["number"])
    await desk.field("金额", "99999999")
    await desk.press("核对")
    await desk.press("确认办理")
    refusal = desk.page.locator(".callout.bad, .callout.wait")
    await refusal.wait_for()
    assert "CNY" not in await refusal.inner_text()
    await desk.open("/pay?kind=deposit")
    await desk.field("收款账户", "123")
    await desk.field("金额", "1")
    await desk.press("核对")
    await desk.press("确认办理")
    await desk.page.get_by_text("没有此账户").wait_for()
    assert await desk.page.evaluate("document.activeElement.name") == "account"


async def test_one_asks_and_another_decides(site: Site) -> None:
    await site.user("zhao", "赵一鸣", "product_manager")
    await site.user("zheng", "郑洁", "compliance")
    maker, checker = await site.desk("en-GB"), await site.desk()
    await maker.log_on("zhao")
    await maker.open("/parameters?text=large_value.report")
    await maker.page.locator("tbody a").first.click()
    await maker.page.get_by_text("Propose another value").wait_for()
    await maker.field("Value", "3")
    await maker.field("Source", "Circular 12")
    await maker.field("From", str(site.bank.time.date()))
    await maker.press("Ask for approval")
    await maker.page.get_by_text("Must be after today").wait_for()
    await maker.field("From", str(site.bank.time.date() + timedelta(days=30)))
    await maker.press("Ask for approval")
    await maker.page.get_by_text("another person must decide").wait_for()
    assert await maker.page.get_by_role("button", name="Approve").count() == 0
    await maker.settled()
    await maker.picture("approval-maker-en")

    await checker.log_on("zheng")
    assert await checker.page.locator(".tile.wait .tile-value").first.inner_text() == "1"
    await checker.page.keyboard.press("g")
    await checker.page.keyboard.press("a")
    assert await title_of(checker) == "复核事项"
    await checker.picture("approvals-zh")
    await checker.page.locator("tbody a").first.click()
    await checker.press("拒绝")
    await checker.press("拒绝")
    await checker.page.get_by_text("请填写原因").wait_for()
    await checker.page.keyboard.press("Escape")
    await checker.press("同意")
    await checker.picture("approval-confirm-zh", full=False)
    await checker.press("同意")
    await checker.page.get_by_text("执行结果").wait_for()
    await maker.open("/parameters/large_value.report_working_days")
    await maker.page.locator("figure svg").wait_for()
    await maker.picture("parameter-en")

    await checker.open("/audit?action=approvals.*&subject=parameter:large_value.report_working_days")
    await checker.page.locator("tbody tr").first.wait_for()
    assert await checker.page.locator("tbody tr").count() == 2
    await checker.picture("audit-zh")


async def test_users_are_made_and_changed(site: Site) -> None:
    await site.user("root", "高远", "administrator")
    await site.user("he", "何平", "auditor")
    desk = await site.desk("en-GB")
    await desk.log_on("root")
    assert await desk.page.locator(".menu a", has_text="Audit").count() == 0
    await desk.open("/audit")
    assert await title_of(desk) == "There is no such page"
    await desk.open("/users/new")
    await desk.field("User name", "Wang Li")
    await desk.field("Full name", "<img src=x onerror=alert(1)>")
    await desk.field("First password", "short")
    await desk.press("Make the user")
    await desk.page.get_by_text("Needed").wait_for()
    await desk.page.get_by_label("Teller").check()
    await desk.press("Make the user")
    await desk.page.get_by_text("At least 12 characters").nth(1).wait_for()
    await desk.picture("user-errors-en")
    await desk.field("First password", PASSWORD)
    await desk.press("Make the user")
    await desk.page.get_by_text("2 to 32 small letters, digits and . _ -, a letter first").wait_for()
    await desk.field("User name", "wang-li")
    await desk.press("Make the user")
    await desk.page.get_by_role("heading", name="<img src=x").wait_for()
    assert await desk.page.locator("#main img").count() == 0, "data is text and nothing else"
    await desk.page.get_by_label("Auditor").check()
    await desk.press("Save")
    await desk.page.get_by_text("Teller, Auditor").or_(desk.page.get_by_text("Auditor, Teller")).first.wait_for()
    await desk.open("/users")
    await desk.page.locator("tbody tr").first.wait_for()
    await desk.picture("users-en")


async def test_a_customer_from_all_sides(site: Site) -> None:
    await site.user("li", "李敏", "relationship_manager", "operations")
    async with site.bank.transaction() as context:
        await product(context)
    desk = await site.desk()
    page = desk.page
    await desk.log_on("li")
    await desk.open("/customers/new")
    await desk.field("姓名或名称", "张伟")
    await desk.field("证件号码", "110101199003070039")
    await page.get_by_label("机构").select_option("HO")
    await desk.field("电话", "13812345678")
    await desk.field("地址", "郑州市金水区花园路1号")
    await desk.press("创建客户")
    await page.locator("[aria-invalid]").wait_for()
    assert await page.evaluate("document.activeElement.name") == "certificate.number"
    await desk.picture("customer-errors-zh")
    await desk.field("证件号码", "110101199003070038")
    await desk.press("创建客户")
    await page.locator("h1", has_text="客户").wait_for()
    await page.get_by_role("button", name="启用").click()
    await page.locator("dialog textarea").fill("资料齐全")
    await page.locator("dialog").get_by_role("button", name="启用").click()
    await page.get_by_text("正常", exact=True).first.wait_for()
    await page.locator("summary", has_text="开立账户").click()
    await page.get_by_label("产品").fill("NOTHING")
    await page.locator("form").get_by_role("button", name="开立账户").click()
    await page.locator("form [aria-invalid]").wait_for()
    await page.get_by_label("产品").fill("TEST-DEMAND")
    await page.locator("form").get_by_role("button", name="开立账户").click()
    await page.locator("tbody a").first.wait_for()
    await page.locator("tbody a").first.click()
    await page.locator("#main").get_by_role("link", name="办理交易").click()
    await page.locator("h1", has_text="办理交易").wait_for()
    await page.get_by_label("金额").fill("3000")
    await desk.press("核对")
    await desk.press("确认办理")
    await page.get_by_text("交易已完成").wait_for()
    async with site.bank.transaction() as context:
        number = await context.connection.scalar(text("SELECT max(customer_id) FROM office.customers"))
    await desk.open(f"/customers/{number}")
    shown = await page.locator("#main").inner_text()
    assert "CNY 3,000.00" in shown
    assert "13812345678" not in shown
    assert "110101199003070038" not in shown
    await desk.picture("customer-zh")
    await page.get_by_role("button", name="查看明文").click()
    await page.locator("dialog textarea").fill("客户来电核实")
    await page.locator("dialog").get_by_role("button", name="查看明文").click()
    await page.get_by_text("13812345678").wait_for()
    await page.reload()
    await desk.settled()
    assert "13812345678" not in await page.locator("#main").inner_text(), "masked again"
    await desk.open(f"/customers/{number}/change")
    await desk.field("标签", "VIP，代发工资")
    await desk.press("保存")
    await page.get_by_text("VIP").first.wait_for()
    await page.get_by_role("button", name="冻结").click()
    await page.locator("dialog textarea").fill("法院通知")
    await page.locator("dialog").get_by_role("button", name="冻结").click()
    await page.get_by_role("button", name="申请解冻").wait_for()
    english = await site.desk("en-GB", NARROW)
    await english.log_on("li")
    await english.open(f"/customers/{number}")
    await english.picture("customer-narrow-en")
    assert await english.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


async def test_products_are_compared_and_sold_to_whom_they_suit(site: Site) -> None:
    await people.seed(site.bank.app.state.office, PASSWORD)
    await catalogue.seed(site.bank.app.state.office, "")
    await site.user("yang", "杨帆", "relationship_manager")
    who, paying = await customer(site.bank, 20_000_000)
    desk = await site.desk()
    page = desk.page
    await desk.log_on("yang")
    await desk.open("/products")
    await desk.picture("products-zh")
    await desk.open("/products/compare")
    for box in await page.locator("#main input[type=checkbox]:not([value=TEST-DEMAND])").all():
        await box.check()
    await page.locator("#main form").get_by_role("button", name="产品比较").click()
    await page.locator("figure svg").first.wait_for()
    await desk.picture("comparison-zh")
    assert await page.evaluate(NAMELESS) == []
    await desk.open(f"/sell?customer={who}&product=WEALTH-GROWTH-365")
    await desk.field("付款账户", paying["number"])
    await desk.field("金额", "10000")
    await desk.press("核对")
    await desk.press("确认办理")
    await page.get_by_text("客户尚未测评风险承受能力").wait_for()
    await desk.open(f"/customers/{who}/suitability")
    for question, answer in BOLD.items():
        await page.locator(f'[name="answers.{question}"]').select_option(answer)
    await desk.picture("questionnaire-zh")
    await desk.press("提交测评")
    await page.get_by_text("测评结果").wait_for()
    await desk.open(f"/sell?customer={who}&product=WEALTH-GROWTH-365")
    await desk.field("付款账户", paying["number"])
    await desk.field("金额", "10000")
    await desk.press("核对")
    await desk.press("确认办理")
    await page.get_by_text("您可能损失部分或全部本金").wait_for()
    await desk.picture("risk-warning-zh", full=False)
    await desk.press("客户已确认，继续购买")
    await page.get_by_text("购买成功").wait_for()
    await desk.open("/orders")
    assert await page.locator("tbody tr").count() == 1
    await desk.open(f"/customers/{who}")
    assert "CNY 10,000.00" in await page.locator("#main").inner_text()


async def test_a_file_of_payments_with_findings(site: Site) -> None:
    await site.user("zhou", "周伟", "operations")
    desk = await site.desk()
    await desk.log_on("zhou")
    await desk.open("/bulk")
    file = {"name": "payments.xml", "mimeType": "text/xml", "buffer": pain001(3)}
    await desk.page.locator("input[type=file]").set_input_files([file])
    await desk.press("上传文件")
    await desk.page.locator("h1", has_text="批次").wait_for()
    await desk.settled()
    assert await desk.page.get_by_text("检查结果").count() >= 1
    await desk.picture("bulk-zh")
    await desk.open("/bulk")
    assert await desk.page.locator("tbody tr").count() == 1


async def test_by_keyboard_alone_in_both_languages(site: Site) -> None:
    await site.user("feng", "冯琳", "auditor", "operations")

    async def tell(context: Context) -> None:
        await notify(context, "role:auditor", "standing_order_failed", {"standing_id": 7})

    async with site.bank.transaction() as context:
        await tell(context)
    desk = await site.desk()
    page, keys = desk.page, desk.page.keyboard
    await page.goto(site.address)
    await page.locator(".logon").wait_for()
    await desk.picture("logon-zh", full=False)
    assert await page.evaluate("document.activeElement.name") == "name"
    await keys.type("feng")
    await keys.press("Tab")
    await keys.type("wrong password")
    await keys.press("Enter")
    await page.get_by_text("用户名、密码或验证码错误").wait_for()
    await page.get_by_label("密码").focus()
    await keys.press("Control+a")
    await keys.type(PASSWORD)
    await keys.press("Enter")
    await page.locator("h1", has_text="冯琳").wait_for()
    await desk.settled()
    await desk.picture("home-zh")
    await page.evaluate("document.activeElement.blur()")
    await keys.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip", "the first stop is the skip link"
    await keys.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await keys.press("?")
    await page.get_by_text("键盘快捷键").last.wait_for()
    await desk.picture("keys-zh", full=False)
    await keys.press("Escape")
    await keys.press("/")
    await keys.type("通知")
    await keys.press("Enter")
    await page.get_by_text("定期转账失败").wait_for()
    assert await page.evaluate("document.activeElement.tagName") == "H1", "a new page is read from its title on"
    await page.get_by_role("button", name="标为已读").focus()
    await keys.press("Enter")
    await page.get_by_role("button", name="标为已读").wait_for(state="detached")
    await page.get_by_role("button", name="English").focus()
    await keys.press("Enter")
    await page.locator("h1", has_text="Notices").wait_for()
    assert await page.evaluate("document.documentElement.lang") == "en"
    await page.reload()
    await page.locator("h1", has_text="Notices").wait_for()
    cookies = await page.context.cookies()
    assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
        ("office_session", True, "Strict")
    ]
    assert await page.evaluate("document.cookie") == "", "no script can read it"
    await page.get_by_role("button", name="Log off").focus()
    await keys.press("Enter")
    await page.locator(".logon").wait_for()
    assert await page.context.cookies() == []


async def test_it_logs_off_who_walked_away(site: Site) -> None:
    await site.user("qin", "秦岚", "auditor")
    desk = await site.desk()
    await desk.page.clock.install()
    await desk.log_on("qin")
    await desk.page.clock.run_for(29 * 60_000 + 30_000)
    await desk.page.get_by_text("您还在吗？").wait_for()
    await desk.press("继续工作")
    await desk.page.clock.run_for(10_000)
    assert await desk.page.locator("dialog").count() == 0
    await desk.page.clock.run_for(31 * 60_000)
    await desk.page.locator(".logon").wait_for()
    await desk.page.get_by_text("已自动退出").wait_for()
    assert await desk.page.context.cookies() == []


async def test_on_a_narrow_screen_and_in_the_dark(site: Site) -> None:
    await site.user("sun", "孙丽", "operations", "teller")
    payer, payee = await account(site.bank, 5_000_000), await account(site.bank, 20_000)
    phone = await site.desk("en-GB", NARROW, color_scheme="dark")
    await phone.log_on("sun")
    await phone.picture("home-narrow-dark")
    pages = [
        "/", "/approvals", "/pay?kind=interbank", "/payments", f"/statement?account={payer['number']}",
        "/standing-orders/new", "/rails", "/rails/card", "/rails/card/differences", "/parameters", "/users", "/me",
    ]  # fmt: skip
    for size in (NARROW, {"width": 360, "height": 740}):
        await phone.page.set_viewport_size(size)
        for path in pages:
            await phone.open(path)
            wide = await phone.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{path} is {wide} px wider than {size['width']} px"
            name = path.strip("/").split("?")[0].replace("/", "-") or "home"
            if size is NARROW:
                await phone.picture(f"narrow-{name}")
    await phone.page.set_viewport_size(NARROW)
    await phone.page.get_by_role("button", name="Menu").click()
    await phone.page.get_by_role("link", name="Payment rails").click()
    assert await title_of(phone) == "Payment rails"
    desk = await site.desk("zh-CN", color_scheme="dark")
    await desk.log_on("sun")
    for path in pages:
        await desk.open(path)
        name = path.strip("/").split("?")[0].replace("/", "-") or "home"
        await desk.picture(f"dark-{name}")
        found = await desk.page.evaluate(NAMELESS)
        assert found == [], f"{path}: {found}"
    assert payee


NAMELESS = """() => {
  const named = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()
    || (e.labels && e.labels.length);
  const faults = [...document.querySelectorAll("a, button, input, select, textarea")].filter((e) => !named(e));
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  const tables = [...document.querySelectorAll("table")].filter((e) => !e.caption);
  const heads = document.querySelectorAll("h1").length === 1 ? [] : ["h1"];
  const images = [...document.querySelectorAll("img:not([alt]), svg:not([aria-labelledby])")];
  const described = [...document.querySelectorAll("[aria-describedby]")].flatMap((e) =>
    e.getAttribute("aria-describedby").split(" ").filter((id) => !document.getElementById(id)));
  return [...faults, ...tables, ...images].map((e) => e.outerHTML.slice(0, 120)).concat(twice, heads, described);
}"""
"""What an audit of accessibility asks first: names, captions, one title, no id twice (WCAG 2.2: 1.1.1, 1.3.1)."""


async def test_the_documentation_of_the_api(site: Site) -> None:
    await site.user("you", "尤佳", "auditor")
    desk = await site.desk("en-GB")
    await desk.log_on("you")
    await desk.page.goto(f"{site.address}/api/docs")
    await desk.page.locator(".opblock-tag").first.wait_for()
    await desk.page.locator("#operations-tag-console, .opblock-tag-section").first.wait_for()
    assert await desk.page.locator(".opblock-tag-section").count() >= 5
    await desk.picture("api-docs", full=False)
    await desk.page.locator("#operations-tag-access").click()
    await desk.page.locator('.opblock-summary-path[data-path="/api/v1/me"]').first.click()
    await desk.page.get_by_role("button", name="Try it out").click()
    await desk.page.get_by_role("button", name="Execute").click()
    await desk.page.locator(".responses-table.live-responses-table").wait_for()
    assert "you" in await desk.page.locator(".live-responses-table").inner_text(), "asked with the console's session"

"""Every text in both languages, every value of the API with a word, and colours that can be read."""

import json
import re
from typing import Any

import pytest

from backoffice.access.permissions import PERMISSIONS, ROLES
from backoffice.api import models
from backoffice.api.models import accounts, bulk, customers, payments, products, rails, standing
from backoffice.api.routes import routers
from backoffice.approvals import KINDS
from backoffice.console.serving import table
from backoffice.customers.identity import KINDS as CERTIFICATES
from backoffice.rating.suitability import Finding

TEXTS = {name: json.loads(table()[f"/static/texts/{name}.json"].content) for name in ("zh", "en")}
SCRIPTS = {path: file.content.decode() for path, file in table().items() if path.startswith("/static/js/")}
STYLE = table()["/static/css/console.css"].content.decode()


def test_both_languages_say_the_same_things() -> None:
    assert TEXTS["zh"].keys() == TEXTS["en"].keys()
    for key, text in TEXTS["zh"].items():
        assert text
        assert TEXTS["en"][key]
        if "rhythm" not in key:  # English names no weekday by its number
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", TEXTS["en"][key])), key


def test_every_key_that_is_used_exists() -> None:
    used: dict[str, str] = {}
    for path, script in SCRIPTS.items():
        used |= dict.fromkeys(re.findall(r'\bt\("([^"]+)"', script), path)
        for beginning in re.findall(r"\bt\(`([^`$]+)\$", script):
            assert any(key.startswith(beginning) for key in TEXTS["zh"]), f"{path}: {beginning}"
    used |= dict.fromkeys(re.findall(r'\["([a-z_.]+)", ["\[]', SCRIPTS["/static/js/menu.js"]), "menu.js")
    assert len(used) > 200
    assert {key: path for key, path in used.items() if key not in TEXTS["zh"]} == {}


def values(model: type[Any], member: str) -> list[str]:
    schema = model.model_json_schema()["properties"][member]
    return [value for value in schema["enum"] if value]


def test_every_value_has_a_word() -> None:
    assert list(routers())
    groups = {
        "role": list(ROLES),
        "permission": list(PERMISSIONS),
        "approval_kind": [kind for kind in KINDS if not kind.startswith("test")],
        "approval_state": values(models.ApprovalOut, "state"),
        "payment_state": values(payments.PaymentOut, "state"),
        "outcome": values(payments.PaymentEventOut, "outcome"),
        "channel": values(payments.TransferIn, "channel"),
        "order_state": values(rails.RailOrderOut, "state"),
        "difference_state": values(rails.DifferenceOut, "state"),
        "settlement_state": values(rails.SettlementOut, "state"),
        "rail": values(rails.RailOut, "kind"),
        "standing_state": values(standing.StandingOut, "state"),
        "run_state": values(standing.RunOut, "state"),
        "customer_state": values(customers.CustomerOut, "status"),
        "customer_kind": values(customers.CustomerOut, "kind"),
        "certificate": list(CERTIFICATES),
        "account_state": values(accounts.AccountOut, "status"),
        "product_state": values(products.VersionOut, "state"),
        "account_kind": values(products.ProductOut, "kind"),
        "sale_state": values(products.OrderOut, "state"),
        "sale_kind": values(products.OrderOut, "kind"),
        "finding": [str(each) for each in Finding],
        "batch_state": values(bulk.BatchOut, "state"),
        "item_state": values(bulk.ItemOut, "state"),
        "every": values(standing.StandingIn, "every"),
        "roll": values(standing.StandingIn, "roll"),
        "on_failure": values(standing.StandingIn, "on_failure"),
    }
    missing = [f"{group}.{value}" for group, found in groups.items() for value in found
               if f"{group}.{value}" not in TEXTS["zh"]]  # fmt: skip
    assert missing == []


def test_the_roles_that_can_be_chosen_are_all_roles() -> None:
    block = re.search(r"ROLES = \[(.*?)\]", SCRIPTS["/static/js/pages/users.js"], re.DOTALL)
    assert block is not None
    assert re.findall(r'"(\w+)"', block[1]) == list(ROLES)


# --- contrast, WCAG 2.2, 1.4.3 --------------------------------------------------------------------

PAIRS = [
    ("ink", "ground"), ("ink", "surface"), ("ink", "sunken"), ("muted", "ground"), ("muted", "surface"),
    ("muted", "sunken"), ("accent", "surface"), ("accent", "accent-soft"), ("accent-ink", "accent"),
    ("ink", "accent-soft"),
    ("good", "good-soft"), ("good", "surface"), ("bad", "bad-soft"), ("bad", "surface"), ("wait", "wait-soft"),
    ("ink", "good-soft"), ("ink", "bad-soft"), ("ink", "wait-soft"), ("head-ink", "head"),
]  # fmt: skip


def luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def themes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", STYLE)
    return {name.strip(): dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for name, block in blocks}


@pytest.mark.parametrize("theme", sorted(themes()))
def test_words_can_be_read(theme: str) -> None:
    colours = themes()[theme]
    for ink, ground in PAIRS:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"
    for ground in ("ground", "surface"):
        light, dark = sorted((luminance(colours["focus"]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, f"focus on {ground}"


def test_both_ways_to_the_dark_are_the_same() -> None:
    found = themes()
    assert len(found) == 3
    (auto,) = (block for name, block in found.items() if "not" in name)
    assert auto == found[':root[data-theme="dark"]']

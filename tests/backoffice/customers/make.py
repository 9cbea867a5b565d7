"""Customers for tests: invented, valid, each another."""

import itertools
import random
from typing import Any

from stdnum.cn import ric, uscc

from backoffice.context import Context
from backoffice.customers import service
from backoffice.customers.fields import Fields
from tests.backoffice.conftest import Office

_NUMBERS = itertools.count(1)
_RANDOM = random.Random(7)
FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高"
GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂华建国文辉玲"


def resident_id(serial: int, born: str = "19850412", region: str = "410105") -> str:
    """A number by GB 11643 that nobody else of the run has."""
    body = f"{region}{born[:4]}{born[4:6]}{born[6:]}{serial % 1000:03d}"
    return body + ric.calc_check_digit(body + "0")


def credit_code(serial: int) -> str:
    """A number by GB 32100."""
    body = f"91410100{serial:09d}"
    return body + uscc.calc_check_digit(body)


def person_body(**changes: Any) -> dict[str, Any]:
    serial = next(_NUMBERS)
    name = _RANDOM.choice(FAMILY) + "".join(_RANDOM.choices(GIVEN, k=_RANDOM.choice((1, 2))))
    born = f"{1980 + serial // 1000 % 25}0415"
    return {
        "kind": "person",
        "name": name,
        "certificate": {"kind": "resident_id", "number": resident_id(serial, born)},
        "branch": "HO",
        "phone": f"13{serial:09d}",
        "email": f"somebody{serial}@example.com",
        "address": "河南省郑州市金水区某路一号",
        "region": "410105",
    } | changes


def enterprise_body(**changes: Any) -> dict[str, Any]:
    serial = next(_NUMBERS)
    return {
        "kind": "enterprise",
        "name": f"郑州第{serial}商贸有限公司",
        "certificate": {"kind": "credit_code", "number": credit_code(serial)},
        "branch": "HO",
        "legal_representative": "王大明",
        "region": "410105",
        "industry": "F51",
    } | changes


async def make(context: Context, body: dict[str, Any], *, active: bool = True) -> dict[str, Any]:
    """Make a customer by the service, active unless asked otherwise; return it as the API shows it."""
    given = dict(body)
    certificate = given.pop("certificate")
    others = {
        name: given.pop(name) for name in ("kind", "branch", "region", "industry", "tags", "manager") if name in given
    }
    fields = Fields(certificate_number=certificate["number"], **given)
    made = await service.create(context, certificate_kind=certificate["kind"], fields=fields, **others)
    if active:
        made = await service.set_status(context, made["customer_id"], "active", "test", made["version"])
    return made


async def person(office: Office, *, active: bool = True, **changes: Any) -> dict[str, Any]:
    async with office.transaction() as context:
        return await make(context, person_body(**changes), active=active)


async def enterprise(office: Office, *, active: bool = True, **changes: Any) -> dict[str, Any]:
    async with office.transaction() as context:
        return await make(context, enterprise_body(**changes), active=active)

"""Many requests appended at once are the same requests as one by one."""

import numpy as np
import pytest

import engine
from engine import order_requests
from engine.order_requests import STEP_BOOK, STEP_CANCEL, STEP_REPLACE, STEP_SUBMIT
from examples.market.drive import book_array, open_market, put_symbol
from examples.market.settlement import BUYER, SELLER, Terms

TERMS = Terms("ONE")


def market() -> engine.Engine:
    made = engine.Engine()
    open_market(made, TERMS)
    return made


def commands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    orders = np.zeros(3, engine.ORDER_COMMAND)
    put_symbol(orders, "ONE")
    orders["client_order_id_lo"] = 1, 2, 3
    orders["account_id"] = SELLER, SELLER, BUYER
    orders["side"], orders["price"], orders["quantity"] = (1, 1, 0), (101, 100, 100), (5, 7, 4)
    amends = np.zeros(2, engine.AMEND_COMMAND)
    amends["account_id"], amends["client_order_id_lo"] = SELLER, (2, 1)
    amends["quantity"], amends["fields"] = (6, 0), (1, 0)
    look = np.zeros(1, engine.ORDER_FILTER)
    put_symbol(look, "ONE")
    return orders, amends, look


def test_the_steps_are_the_same_requests() -> None:
    orders, amends, look = commands()
    together, apart = engine.Batch(), engine.Batch()
    steps = [STEP_SUBMIT, STEP_SUBMIT, STEP_BOOK, STEP_SUBMIT, STEP_REPLACE, STEP_BOOK, STEP_CANCEL, STEP_BOOK]
    order_requests.append_steps(together, np.array(steps, np.uint8), orders, amends, look, limit_max=3)
    order = amend = 0
    for step in steps:
        if step == STEP_SUBMIT:
            order_requests.append(apart, "submit_orders", orders[order : order + 1])
            order += 1
        elif step == STEP_BOOK:
            order_requests.append_read(apart, "get_book", look, limit_max=3)
        else:
            name = "replace_orders" if step == STEP_REPLACE else "cancel_orders"
            order_requests.append(apart, name, amends[amend : amend + 1])
            amend += 1
    one, other = market(), market()
    for batch, target in ((together, one), (apart, other)):
        target.apply(batch, target.last_timestamp + 1)
    assert len(together) == len(apart) == len(steps)
    assert (one.digest(), one.state_hash()) == (other.digest(), other.state_hash())
    for left, right in (
        (order_requests.order_answers(together), order_requests.order_answers(apart)),
        (order_requests.book_answers(together), order_requests.book_answers(apart)),
    ):
        assert [part.tobytes() for part in left] == [part.tobytes() for part in right]
    assert order_requests.order_answers(together)[0]["leaves_quantity"].tolist() == [5, 7, 0, 2, 0]
    books = book_array(*order_requests.book_answers(together), 3)
    assert books[:, 1, :2].tolist() == [
        [[100, 7], [101, 5]], [[100, 2], [101, 5]], [[100, 2], [9_999_999_999, 0]],
    ]  # fmt: skip


def test_every_item_must_be_taken() -> None:
    orders, amends, look = commands()
    for steps in (
        [STEP_SUBMIT] * 3,
        [STEP_SUBMIT] * 2 + [STEP_CANCEL] * 2,
        [STEP_SUBMIT] * 3 + [STEP_CANCEL] * 2 + [4],
    ):
        batch = engine.Batch()
        with pytest.raises(ValueError, match=r"^steps: "):
            order_requests.append_steps(batch, np.array(steps, np.uint8), orders, amends, look, limit_max=3)
        assert len(batch) == 0
    with pytest.raises(ValueError, match=r"^steps: "):
        order_requests.append_steps(engine.Batch(), np.zeros(3, np.int64), orders, amends, look, limit_max=3)

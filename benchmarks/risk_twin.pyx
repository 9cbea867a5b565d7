"""The limits of docs/RISK.md once more, by hand in Cython: what the compiled kernel is measured against, and nothing else.

`ask` calls any function of the kernel's C signature in a C loop, one order after the other, as the engine does.
"""

from libc.stdint cimport int64_t, uintptr_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from engine._core.order_codes cimport *
from engine._core.risk_records cimport *

cdef extern from *:
    """
    #define TB_FAR (1LL << 32)
    """
    const long long FAR "TB_FAR"

cdef enum:
    ACCEPT = 0x5AFE
    SECOND = 1000000000
    MILLION = 1000000

ctypedef int64_t (*Decide)(
    const RiskOrder*, const Limits*, const Exposure*, const Limits*, const Exposure*, const Limits*, const Exposure*,
    const Limits*, const Exposure*, Finding*) noexcept nogil


cdef inline int64_t refuse(Finding* out, int64_t reason, int64_t scope, int64_t limit, int64_t used, int64_t asked) noexcept nogil:
    out.scope = scope
    out.limit = limit
    out.used = used
    out.asked = asked
    out.check = 0
    return reason


cdef int64_t in_order(
        const RiskOrder* order, const Limits* account, const Exposure* account_used, const Limits* desk, const Exposure* desk_used,
        const Limits* client, const Exposure* client_used, const Limits* instrument, const Exposure* instrument_used,
        Finding* out) noexcept nogil:
    cdef const Limits* limits[4]
    cdef const Exposure* used[4]
    cdef int64_t level, rule, strictest, rate, size, taken, ratio, most, away, collar, held, limit, sum, adds
    cdef int64_t scope
    cdef bint buys
    limits[0] = account
    limits[1] = desk
    limits[2] = client
    limits[3] = instrument
    used[0] = account_used
    used[1] = desk_used
    used[2] = client_used
    used[3] = instrument_used

    if order.killed:
        return refuse(out, REASON_KILL_SWITCH, SCOPE_DEFAULT, 1, 0, 0)
    for scope in range(4):
        if limits[scope].kill_switch:
            return refuse(out, REASON_KILL_SWITCH, scope, limits[scope].kill_switch, 0, 0)
    if order.restricted:
        return refuse(out, REASON_RESTRICTED, order.restricted - 1, 1, 0, 0)
    for scope in range(4):
        if limits[scope].restricted:
            return refuse(out, REASON_RESTRICTED, scope, limits[scope].restricted, 0, 0)
    if instrument.suitability:
        level = max(max(account.suitability, account.suitability_confirmed), max(client.suitability, client.suitability_confirmed))
        if instrument.suitability > level:
            return refuse(out, REASON_SUITABILITY, SCOPE_ACCOUNT, level, 0, instrument.suitability)
    buys = order.side == SIDE_BUY
    if not buys and not order.futures and order.short_quantity > 0:
        rule = strictest = 0
        for scope in range(4):
            if limits[scope].short_sale > rule:
                rule = limits[scope].short_sale
                strictest = scope
        if rule >= 2 or (rule == 1 and order.price < order.last_price):
            return refuse(out, REASON_SHORT_SALE, strictest, rule, 0, order.short_quantity)
    if not order.replaces and order.duplicate_age >= 0 and order.duplicate_age < account.duplicate_order:
        return refuse(out, REASON_DUPLICATE_ORDER, SCOPE_ACCOUNT, account.duplicate_order, 0, order.duplicate_age)
    for scope in range(4):
        rate = limits[scope].order_rate
        if rate != UNLIMITED:
            if rate <= 0:
                return refuse(out, REASON_ORDER_RATE, scope, 0, 0, 1)
            size = limits[scope].order_burst if limits[scope].order_burst else rate
            taken = 0
            if used[scope].rate_due > order.time:
                taken = (used[scope].rate_due - order.time - 1) // (SECOND // rate) + 1
            if taken >= size:
                return refuse(out, REASON_ORDER_RATE, scope, size, taken, 1)
    for scope in range(4):
        ratio = limits[scope].order_to_trade
        if ratio != UNLIMITED:
            most = limits[scope].order_to_trade_free + ratio * used[scope].trades
            if used[scope].messages >= most:
                return refuse(out, REASON_ORDER_TO_TRADE, scope, most, used[scope].messages, 1)
    for scope in range(4):
        if order.quantity > limits[scope].max_quantity:
            return refuse(out, REASON_MAX_QUANTITY, scope, limits[scope].max_quantity, 0, order.quantity)
    for scope in range(4):
        if order.value > limits[scope].max_notional:
            return refuse(out, REASON_MAX_NOTIONAL, scope, limits[scope].max_notional, 0, order.value)
    if order.mark_price > 0:
        away = order.price - order.mark_price if buys else order.mark_price - order.price
        if away > 0:
            for scope in range(4):
                collar = limits[scope].price_collar
                if collar != UNLIMITED and away > (
                        order.mark_price // MILLION * collar + order.mark_price % MILLION * collar // MILLION):
                    return refuse(out, REASON_PRICE_COLLAR, scope, collar, order.mark_price, order.price)
    held = -order.position if not buys else order.position
    adds = (order.open_buy_quantity if buys else order.open_sell_quantity) - order.old_quantity
    held = UNLIMITED if held > UNLIMITED - adds else held + adds
    for scope in range(4):
        limit = limits[scope].position_long if buys else limits[scope].position_short
        if scope == SCOPE_ACCOUNT:
            limit = min(limit, order.position_long if buys else order.position_short)
        if limit != UNLIMITED and held > limit - order.quantity:
            return refuse(out, REASON_POSITION_LONG if buys else REASON_POSITION_SHORT, scope, limit, held, order.quantity)
    adds = 0 if order.replaces else 1
    for scope in range(4):
        if used[scope].open_orders > limits[scope].open_orders - adds:
            return refuse(out, REASON_OPEN_ORDERS, scope, limits[scope].open_orders, used[scope].open_orders, adds)
    for scope in range(4):
        sum = used[scope].open_buy + used[scope].open_sell - order.old_value
        if sum > limits[scope].open_notional - order.value:
            return refuse(out, REASON_OPEN_NOTIONAL, scope, limits[scope].open_notional, sum, order.value)
    if held <= -order.quantity:
        return ACCEPT
    for scope in range(4):
        sum = (used[scope].long_value + used[scope].short_value - order.old_value) + (used[scope].open_buy + used[scope].open_sell)
        if sum > limits[scope].gross_exposure - order.value and limits[scope].gross_exposure != UNLIMITED:
            return refuse(out, REASON_GROSS_EXPOSURE, scope, limits[scope].gross_exposure, sum, order.value)
    for scope in range(4):
        sum = used[scope].long_value - used[scope].short_value
        sum = sum + used[scope].open_buy - order.old_value if buys else used[scope].open_sell - sum - order.old_value
        if sum > limits[scope].net_exposure - order.value:
            return refuse(out, REASON_NET_EXPOSURE, scope, limits[scope].net_exposure, sum, order.value)
    for scope in range(4):
        sum = used[scope].traded - order.old_value + used[scope].open_buy + used[scope].open_sell
        if sum > limits[scope].credit_limit - order.value:
            return refuse(out, REASON_CREDIT_LIMIT, scope, limits[scope].credit_limit, sum, order.value)
    for scope in range(4):
        sum = -(used[scope].realised + used[scope].unrealised)
        if sum > limits[scope].daily_loss:
            return refuse(out, REASON_DAILY_LOSS, scope, limits[scope].daily_loss, sum, 0)
    return ACCEPT


cdef inline bint scope_may_fail(
        const Limits* limits, const Exposure* used, int64_t time, bint buys, int64_t quantity, int64_t value, int64_t more,
        int64_t adds, int64_t held, int64_t away, int64_t mark) noexcept nogil:
    cdef int64_t size, missing, opened, net
    if limits.kill_switch | limits.restricted:
        return True
    if limits.order_rate != UNLIMITED:
        size = limits.order_burst if limits.order_burst else limits.order_rate
        missing = max(used.rate_due - time, <int64_t>0)
        if (limits.order_rate <= 0 or missing > FAR
                or missing * limits.order_rate > (min(size, <int64_t>FAR) - 1) * (SECOND - limits.order_rate + 1)):
            return True
    if (limits.order_to_trade != UNLIMITED
            and used.messages >= limits.order_to_trade_free + limits.order_to_trade * used.trades):
        return True
    if quantity > limits.max_quantity or value > limits.max_notional:
        return True
    if (away > 0 and limits.price_collar != UNLIMITED
            and away > mark // MILLION * limits.price_collar + mark % MILLION * limits.price_collar // MILLION):
        return True
    if held > (limits.position_long if buys else limits.position_short):
        return True
    if used.open_orders > limits.open_orders - adds:
        return True
    opened = used.open_buy + used.open_sell + more
    if opened > limits.open_notional:
        return True
    if held <= 0:
        return False
    net = used.long_value - used.short_value
    net = net + used.open_buy + more if buys else used.open_sell + more - net
    return (used.long_value + used.short_value > limits.gross_exposure - opened or net > limits.net_exposure
            or used.traded + opened > limits.credit_limit or -(used.realised + used.unrealised) > limits.daily_loss)


cdef int64_t twin(
        const RiskOrder* order, const Limits* account, const Exposure* account_used, const Limits* desk, const Exposure* desk_used,
        const Limits* client, const Exposure* client_used, const Limits* instrument, const Exposure* instrument_used,
        Finding* out) noexcept nogil:
    cdef bint buys = order.side == SIDE_BUY
    cdef int64_t mark = order.mark_price
    cdef int64_t away = order.price - mark if buys else mark - order.price
    cdef int64_t held = order.position if buys else -order.position
    cdef int64_t opened = (order.open_buy_quantity if buys else order.open_sell_quantity) - order.old_quantity
    cdef int64_t more = order.value - order.old_value
    cdef int64_t adds = 1 - order.replaces
    cdef int64_t rule = account.short_sale | desk.short_sale | client.short_sale | instrument.short_sale
    cdef int64_t level = max(
        max(account.suitability, account.suitability_confirmed), max(client.suitability, client.suitability_confirmed))
    if mark <= 0:
        away = 0
    held = UNLIMITED if held > UNLIMITED - opened else held + opened
    held = UNLIMITED if held > UNLIMITED - order.quantity else held + order.quantity
    if (
            order.killed | order.restricted
            or instrument.suitability > level
            or (order.short_quantity > 0 and (rule >= 2 or (rule > 0 and order.price < order.last_price)))
            or order.duplicate_age >= 0
            or held > (order.position_long if buys else order.position_short)
            or scope_may_fail(
                account, account_used, order.time, buys, order.quantity, order.value, more, adds, held, away, mark)
            or scope_may_fail(desk, desk_used, order.time, buys, order.quantity, order.value, more, adds, held, away, mark)
            or scope_may_fail(
                client, client_used, order.time, buys, order.quantity, order.value, more, adds, held, away, mark)
            or scope_may_fail(
                instrument, instrument_used, order.time, buys, order.quantity, order.value, more, adds, held, away, mark)):
        return in_order(
            order, account, account_used, desk, desk_used, client, client_used, instrument, instrument_used, out)
    return ACCEPT


def addresses() -> tuple[int, int]:
    """Of the twin, and of the page in its order, which is what one would write first."""
    return <uintptr_t>&twin, <uintptr_t>&in_order


# --- when verdicts fall -------------------------------------------------------------------------------

cdef enum:
    STAMPS_MAX = 1 << 16

cdef Decide watched = NULL
cdef int64_t[STAMPS_MAX] stamps
cdef Py_ssize_t stamped = 0
cdef bint refuses = False


cdef int64_t watching(
        const RiskOrder* order, const Limits* account, const Exposure* account_used, const Limits* desk, const Exposure* desk_used,
        const Limits* client, const Exposure* client_used, const Limits* instrument, const Exposure* instrument_used,
        Finding* out) noexcept nogil:
    """Keeps the time at which the watched function has spoken; of every second order it then says that it is refused."""
    global stamped
    cdef timespec now
    cdef int64_t said = watched(
        order, account, account_used, desk, desk_used, client, client_used, instrument, instrument_used, out)
    clock_gettime(CLOCK_MONOTONIC, &now)
    if stamped < STAMPS_MAX:
        stamps[stamped] = <int64_t>now.tv_sec * SECOND + now.tv_nsec
        stamped += 1
    if refuses and stamped & 1:
        return refuse(out, REASON_MAX_QUANTITY, SCOPE_ACCOUNT, 0, 0, 0) if said == ACCEPT else 0
    return said


def watch(size_t address, bint refusing) -> int:
    """The address of a function that asks the one at `address` and keeps the time of each verdict, up to 65,536.

    `refusing`: it refuses the first order, the third and so on.
    """
    global watched, refuses
    watched, refuses = <Decide>address, refusing
    return <uintptr_t>&watching


def fallen(int64_t[::1] times) -> int:
    """How many verdicts there were since this was last asked; their times, as of `time.perf_counter_ns`."""
    global stamped
    cdef Py_ssize_t count = min(stamped, times.shape[0])
    cdef Py_ssize_t index
    for index in range(count):
        times[index] = stamps[index]
    stamped = 0
    return count


def ask(
        size_t address, const RiskOrder[::1] orders, const Limits[::1] limits, const Exposure[::1] exposures,
        const int[:, ::1] groups, int64_t[::1] verdicts, Finding[::1] findings) -> None:
    """What the function at an address says of each order."""
    cdef Decide decide = <Decide>address
    cdef Py_ssize_t index
    with nogil:
        for index in range(orders.shape[0]):
            verdicts[index] = decide(
                &orders[index],
                &limits[groups[index, 0]], &exposures[groups[index, 0]], &limits[groups[index, 1]], &exposures[groups[index, 1]],
                &limits[groups[index, 2]], &exposures[groups[index, 2]], &limits[groups[index, 3]], &exposures[groups[index, 3]],
                &findings[index])

"""See `listing.pxd`."""

from libc.string cimport memset

from engine._core.accounts cimport create_account
from engine._core.codes cimport *
from engine._core.digest cimport digest_mix
from engine._core.order_codes cimport *
from engine._core.order_records cimport LinkCommand
from engine._core.records cimport Account, AccountCommand
from engine._core.store cimport account_lookup, scope_permits
from engine.matching.market cimport instrument_append, instrument_find, ticks_of
from engine.settlement.records cimport Link, TradingAccount
from engine.settlement.store cimport Clearing, holding_require, trading_account_find, trading_account_insert

cdef extern from *:
    """
    /* reference * (1000000 + signed ppm) / 1000000 in ticks; rounding: 0 nearest with a half up, 1 up, 2 down */
    static inline uint64_t tb_band(uint64_t reference, uint64_t millionths, uint64_t tick, int rounding) {
        unsigned __int128 above = (unsigned __int128)reference * millionths;
        unsigned __int128 below = (unsigned __int128)tick * 1000000;
        unsigned __int128 ticks = above / below, rest = above % below;
        if (rounding == 0 ? 2 * rest >= below : rounding == 1 ? rest != 0 : 0)
            ticks += 1;
        return ticks > 0x3FFFFFFF ? 0x3FFFFFFF : (uint64_t)ticks;
    }
    #define TB_CLEARING_BASE 0x7FFFFFFF00000000ULL
    """
    uint64_t band_price "tb_band"(uint64_t reference, uint64_t millionths, uint64_t tick, int rounding) noexcept nogil
    const unsigned long long CLEARING_BASE "TB_CLEARING_BASE"   # id of a ledger's clearing account, plus the ledger

cdef enum:
    NEAREST = 0
    UPWARDS = 1
    DOWNWARDS = 2
    MILLION = 1000000
    TICKS_MAX = 0x3FFFFFFF


cdef inline uint64_t tick(Exchange* exchange) noexcept nogil:
    exchange.clearing.clock += 1
    return exchange.clearing.clock - 1


# --- instruments ------------------------------------------------------------------------------------

cdef uint32_t band_limit(const Instrument* instrument, uint64_t reference, uint32_t ppm, bint up) noexcept nogil:
    cdef int rounding = NEAREST
    cdef uint64_t ticks
    if instrument.flags & INSTRUMENT_FUTURES:
        rounding = DOWNWARDS if up else UPWARDS
    ticks = band_price(reference, MILLION + ppm if up else MILLION - ppm, instrument.tick_size, rounding)
    return <uint32_t>ticks if ticks else 1


cdef void band_refresh(Instrument* instrument) noexcept nogil:
    instrument.limit_down = 1
    instrument.limit_up = TICKS_MAX
    if instrument.price_band_ppm and instrument.reference_price:
        instrument.limit_down = band_limit(instrument, instrument.reference_price, instrument.price_band_ppm, False)
        instrument.limit_up = band_limit(instrument, instrument.reference_price, instrument.price_band_ppm, True)


cdef bint same_terms(const Instrument* instrument, const InstrumentCommand* command) noexcept nogil:
    return (
        instrument.tick_size == command.tick_size and instrument.lot_size == command.lot_size
        and instrument.price_scale == command.price_scale and instrument.contract_size == command.contract_size
        and instrument.base_ledger == command.base_ledger and instrument.quote_ledger == command.quote_ledger
        and instrument.flags == command.flags and instrument.fee_account_id == command.fee_account_id)


cdef bint has_fees(const InstrumentCommand* command) noexcept nogil:
    return (
        command.maker_fee_ppm or command.taker_fee_ppm or command.transfer_fee_ppm or command.sell_duty_ppm
        or command.minimum_fee)


cdef bint ppm_in_range(const InstrumentCommand* command) noexcept nogil:
    return (
        command.maker_fee_ppm <= MILLION and command.taker_fee_ppm <= MILLION and command.transfer_fee_ppm <= MILLION
        and command.sell_duty_ppm <= MILLION and command.price_band_ppm <= MILLION and command.price_cage_ppm <= MILLION
        and command.circuit_breaker_ppm <= MILLION and command.market_protection_ppm <= MILLION
        and command.initial_margin_ppm <= MILLION and command.maintenance_margin_ppm <= MILLION)


cdef uint32_t clearing_account(Exchange* exchange, uint32_t ledger) noexcept nogil:
    """The ledger's clearing account, made if there is none; NONE when somebody else has its id."""
    cdef AccountCommand command
    cdef Result result
    cdef uint32_t slot
    cdef uint64_t id = CLEARING_BASE + ledger
    cdef Account* account
    slot = account_lookup(exchange.ledger, id)
    if slot == NONE:
        memset(&command, 0, sizeof(AccountCommand))
        command.id = id
        command.ledger = ledger
        command.code = CODE_CLEARING
        create_account(exchange.ledger, &command, 0, tick(exchange), &result)
        slot = account_lookup(exchange.ledger, id)
    account = &exchange.ledger.accounts[slot]
    if (account.ledger != ledger or account.code != CODE_CLEARING or account.flags & (
            ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS | ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS | ACCOUNT_CLOSED | ACCOUNT_FROZEN)):
        return NONE
    return slot


cdef void set_terms(Instrument* instrument, const InstrumentCommand* command, uint32_t fields) noexcept nogil:
    """The members that may change later; `fields` says which are meant."""
    if fields & FIELD_REFERENCE_PRICE:
        instrument.reference_price = command.reference_price
        instrument.breaker_price = ticks_of(instrument, command.reference_price)
    if fields & FIELD_PRICE_BAND:
        instrument.price_band_ppm = command.price_band_ppm
    if fields & FIELD_PRICE_CAGE:
        instrument.price_cage_ppm = command.price_cage_ppm
    if fields & FIELD_CIRCUIT_BREAKER:
        instrument.circuit_breaker_ppm = command.circuit_breaker_ppm
    if fields & FIELD_MARKET_PROTECTION:
        instrument.market_protection_ppm = command.market_protection_ppm
    if fields & FIELD_MAKER_FEE:
        instrument.maker_fee_ppm = command.maker_fee_ppm
    if fields & FIELD_TAKER_FEE:
        instrument.taker_fee_ppm = command.taker_fee_ppm
    if fields & FIELD_TRANSFER_FEE:
        instrument.transfer_fee_ppm = command.transfer_fee_ppm
    if fields & FIELD_SELL_DUTY:
        instrument.sell_duty_ppm = command.sell_duty_ppm
    if fields & FIELD_MINIMUM_FEE:
        instrument.minimum_fee = command.minimum_fee
    if fields & FIELD_INITIAL_MARGIN:
        instrument.initial_margin_ppm = command.initial_margin_ppm
    if fields & FIELD_MAINTENANCE_MARGIN:
        instrument.maintenance_margin_ppm = command.maintenance_margin_ppm
    band_refresh(instrument)


cdef void set_ticks(Instrument* instrument, uint64_t tick_size) noexcept nogil:
    """See market.ticks_of. The inverse by Newton's method: each step doubles the bits that are right."""
    cdef uint64_t odd = tick_size
    cdef uint64_t inverse
    cdef int step
    instrument.tick_size = tick_size
    instrument.tick_shift = 0
    while not odd & 1:
        odd >>= 1
        instrument.tick_shift += 1
    inverse = odd
    for step in range(5):
        inverse *= 2 - odd * inverse
    instrument.tick_inverse = inverse
    instrument.price_max = INT63_MAX
    if tick_size <= <uint64_t>INT63_MAX // TICKS_MAX:
        instrument.price_max = tick_size * TICKS_MAX


cdef uint32_t check_instrument(Exchange* exchange, const InstrumentCommand* command) noexcept nogil:
    cdef uint32_t slot
    cdef Instrument probe
    if command.symbol_0 == 0:
        return ID_MUST_NOT_BE_ZERO
    slot = instrument_find(&exchange.market, &command.symbol_0)
    if slot != NONE:
        return EXISTS if same_terms(&exchange.market.instruments[slot], command) else EXISTS_WITH_DIFFERENT_TERMS
    if command.base_ledger == 0 or command.quote_ledger == 0:
        return LEDGER_MUST_NOT_BE_ZERO
    if command.base_ledger == command.quote_ledger:
        return LEDGERS_MUST_BE_DIFFERENT
    if command.tick_size == 0 or command.tick_size > INT63_MAX:
        return TICK_SIZE_MUST_NOT_BE_ZERO
    if command.lot_size == 0 or command.lot_size > INT63_MAX:
        return LOT_SIZE_MUST_NOT_BE_ZERO
    if command.price_scale == 0 or command.price_scale > INT63_MAX:
        return PRICE_SCALE_MUST_NOT_BE_ZERO
    if command.contract_size == 0 or command.contract_size > INT63_MAX:
        return CONTRACT_SIZE_MUST_NOT_BE_ZERO
    if not ppm_in_range(command):
        return PPM_OUT_OF_RANGE
    memset(&probe, 0, sizeof(Instrument))
    set_ticks(&probe, command.tick_size)
    if command.reference_price and ticks_of(&probe, command.reference_price) == 0:
        return PRICE_NOT_ON_TICK
    if command.fee_account_id:
        slot = account_lookup(exchange.ledger, command.fee_account_id)
        if slot == NONE:
            return FEE_ACCOUNT_NOT_FOUND
        if exchange.ledger.accounts[slot].ledger != command.quote_ledger:
            return FEE_ACCOUNT_HAS_DIFFERENT_LEDGER
    elif has_fees(command):
        return FEE_ACCOUNT_NOT_FOUND
    return CREATED


cdef void create_instrument(Exchange* exchange, const InstrumentCommand* command, Result* result) noexcept nogil:
    cdef uint32_t base = NONE
    cdef uint32_t quote = NONE
    cdef uint32_t slot
    cdef Instrument* instrument
    result.reserved = 0
    result.timestamp = tick(exchange)
    result.status = check_instrument(exchange, command)
    if result.status == CREATED:
        base = clearing_account(exchange, command.base_ledger)
        quote = clearing_account(exchange, command.quote_ledger)
        if base == NONE or quote == NONE:
            result.status = CLEARING_ACCOUNT_TAKEN
    digest_mix(exchange.ledger, result.timestamp, command.symbol_0 ^ result.status)
    if result.status != CREATED:
        return

    # From here on it must succeed.
    slot = instrument_append(&exchange.market, &command.symbol_0)
    instrument = &exchange.market.instruments[slot]
    set_ticks(instrument, command.tick_size)
    instrument.lot_size = command.lot_size
    instrument.price_scale = command.price_scale
    instrument.contract_size = command.contract_size
    instrument.base_ledger = command.base_ledger
    instrument.quote_ledger = command.quote_ledger
    instrument.fee_account_id = command.fee_account_id
    instrument.fee_account = account_lookup(exchange.ledger, command.fee_account_id) if command.fee_account_id else NONE
    instrument.base_clearing = base
    instrument.quote_clearing = quote
    instrument.flags = command.flags
    instrument.session = instrument.session_first = command.session
    set_terms(instrument, command, <uint32_t>-1)


cdef void update_instrument(Exchange* exchange, const InstrumentCommand* command, Result* result) noexcept nogil:
    cdef uint32_t slot = instrument_find(&exchange.market, &command.symbol_0)
    cdef Instrument* instrument
    result.reserved = 0
    result.timestamp = tick(exchange)
    result.status = UPDATED
    if slot == NONE:
        result.status = UNKNOWN_INSTRUMENT
    else:
        instrument = &exchange.market.instruments[slot]
        if not ppm_in_range(command):
            result.status = PPM_OUT_OF_RANGE
        elif (command.fields & FIELD_REFERENCE_PRICE and command.reference_price
                and ticks_of(instrument, command.reference_price) == 0):
            result.status = PRICE_NOT_ON_TICK
        elif instrument.fee_account == NONE and has_fees(command):
            result.status = FEE_ACCOUNT_NOT_FOUND
        else:
            set_terms(instrument, command, command.fields)
    digest_mix(exchange.ledger, result.timestamp, command.symbol_0 ^ result.status)


# --- trading accounts -------------------------------------------------------------------------------

cdef bint same_links(Exchange* exchange, const TradingAccount* account, const LinkCommand* links, uint32_t count) noexcept nogil:
    cdef uint32_t index, place
    cdef const Link* link
    if count != account.link_count:
        return False
    for index in range(count):
        for place in range(account.link_count):
            link = &exchange.clearing.links[account.link_first + place]
            if link.ledger == links[index].ledger:
                if exchange.ledger.accounts[link.account].id != links[index].account_id:
                    return False
                break
        else:
            return False
    return True


cdef uint32_t check_trading_account(
    Exchange* exchange, const TradingAccountCommand* command, const LinkCommand* links, uint32_t scope, Result* result) noexcept nogil:
    cdef uint32_t slot, index, other
    cdef TradingAccount* account
    if command.id == 0:
        return ID_MUST_NOT_BE_ZERO
    slot = trading_account_find(&exchange.clearing, command.id)
    if slot != NONE:
        account = &exchange.clearing.accounts[slot]
        if command.owner_0 != account.owner_0 or command.owner_1 != account.owner_1 or command.owner_2 != account.owner_2:
            return EXISTS_WITH_DIFFERENT_OWNER
        if command.desk_0 != account.desk_0 or command.desk_1 != account.desk_1 or command.desk_2 != account.desk_2:
            return EXISTS_WITH_DIFFERENT_DESK
        if not same_links(exchange, account, links, command.link_count):
            return EXISTS_WITH_DIFFERENT_ACCOUNTS
        result.timestamp = account.timestamp
        return EXISTS
    for index in range(command.link_count):
        if links[index].ledger == 0:
            return LEDGER_MUST_NOT_BE_ZERO
        for other in range(index):
            if links[other].ledger == links[index].ledger:
                return LEDGER_GIVEN_TWICE
        if not scope_permits(exchange.ledger, scope, links[index].account_id):
            return NOT_PERMITTED
        slot = account_lookup(exchange.ledger, links[index].account_id)
        if slot == NONE:
            return ACCOUNT_NOT_FOUND
        if exchange.ledger.accounts[slot].ledger != links[index].ledger:
            return ACCOUNT_HAS_DIFFERENT_LEDGER
        if exchange.ledger.accounts[slot].flags & ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS:
            return FLAGS_ARE_MUTUALLY_EXCLUSIVE     # of a debit-normal account: fills would credit it without limit
    return CREATED


cdef void create_trading_account(
    Exchange* exchange, Batch batch, const TradingAccountCommand* command, uint32_t scope, Result* result) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef const LinkCommand* links = &batch.links[command.link_first]
    cdef TradingAccount* account
    cdef Link* link
    cdef Link moved
    cdef uint32_t index, place
    result.reserved = 0
    result.timestamp = tick(exchange)
    result.status = check_trading_account(exchange, command, links, scope, result)
    digest_mix(exchange.ledger, result.timestamp, command.id ^ result.status)
    if result.status != CREATED:
        return
    account = &clearing.accounts[clearing.account_count]
    memset(account, 0, sizeof(TradingAccount))
    account.id = command.id
    account.owner_0 = command.owner_0
    account.owner_1 = command.owner_1
    account.owner_2 = command.owner_2
    account.desk_0 = command.desk_0
    account.desk_1 = command.desk_1
    account.desk_2 = command.desk_2
    account.timestamp = result.timestamp
    account.link_first = clearing.link_count
    account.link_count = command.link_count
    account.order_last = account.execution_last = account.position_last = NONE
    for index in range(command.link_count):
        link = &clearing.links[clearing.link_count + index]
        link.ledger = links[index].ledger
        link.account = account_lookup(exchange.ledger, links[index].account_id)
        link.holding = holding_require(clearing, link.account)
        link.reserved = 0
        place = clearing.link_count + index         # they stand in the order of their ledgers
        while place > clearing.link_count and clearing.links[place - 1].ledger > clearing.links[place].ledger:
            moved = clearing.links[place]
            clearing.links[place] = clearing.links[place - 1]
            clearing.links[place - 1] = moved
            place -= 1
    clearing.link_count += command.link_count
    trading_account_insert(clearing, clearing.account_count)
    clearing.account_count += 1

"""See `requests.pxd` and `workload.py`. An item costs some 20 nanoseconds to make and 40 to write."""

from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset, strlen

import numpy as np

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport (
    AMOUNT_ALL, KIND_CREATE_TRANSFERS, TRANSFER_LINKED, TRANSFER_PENDING, TRANSFER_POST_PENDING_TRANSFER,
    TRANSFER_VOID_PENDING_TRANSFER,
)
from server.wire.text cimport write, write_uuid

from engine._core.records import TRANSFER_COMMAND
from loadtest import workload as definition

cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15ULL
cdef uint64_t MASK_62 = 0x3FFFFFFFFFFFFFFFULL

SHAPES = {"single": SHAPE_SINGLE, "two_phase": SHAPE_TWO_PHASE, "linked": SHAPE_LINKED}


# --- items ----------------------------------------------------------------------------------------

cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    word *= GOLDEN
    word = (word ^ word >> 30) * <uint64_t>0xBF58476D1CE4E5B9ULL
    word = (word ^ word >> 27) * <uint64_t>0x94D049BB133111EBULL
    return word ^ word >> 31


cdef inline uint64_t draw(const Plan* plan, uint64_t number, uint64_t* lo, uint64_t* hi) noexcept nogil:
    """The id of an item; returns its amount."""
    cdef uint64_t first = mixed(plan.seed + number)
    cdef uint64_t second = mixed(first ^ GOLDEN)
    lo[0] = <uint64_t>2 << 62 | first & MASK_62
    hi[0] = plan.clock_ms + (number >> 10) << 16 | 7 << 12 | second >> 52
    return 1 + ((second & 0xFFFFFFFFULL) * plan.amount_max >> 32)


cdef void plan_item(const Plan* plan, uint64_t number, TransferCommand* out) noexcept nogil:
    cdef const uint32_t* pair = &plan.pairs[2 * (number & plan.draws_mask)]
    cdef uint64_t amount
    memset(out, 0, sizeof(TransferCommand))
    amount = draw(plan, number, &out.id_lo, &out.id_hi)
    if plan.shape == SHAPE_TWO_PHASE and number & 1:
        draw(plan, number - 1, &out.pending_id_lo, &out.pending_id_hi)
        out.amount = AMOUNT_ALL
        out.flags = TRANSFER_POST_PENDING_TRANSFER
        if (number >> 1) % plan.void_every == plan.void_every - 1:
            out.flags = TRANSFER_VOID_PENDING_TRANSFER
        return
    out.debit_account_id = plan.account_first + pair[0]
    out.credit_account_id = plan.account_first + pair[1]
    out.amount = amount
    out.ledger = plan.ledger
    out.code = <uint16_t>plan.code
    if plan.shape == SHAPE_TWO_PHASE:
        out.flags = TRANSFER_PENDING
        out.timeout = plan.hold_seconds
    elif plan.shape == SHAPE_LINKED and not number & 1:
        out.flags = TRANSFER_LINKED


# --- lines ----------------------------------------------------------------------------------------

cdef inline uint8_t* put(uint8_t* p, const char* text) noexcept nogil:
    cdef size_t length = strlen(text)   # of a literal: known when compiled
    memcpy(p, text, length)
    return p + length


cdef uint8_t* put_transfer(uint8_t* p, const TransferCommand* item) noexcept nogil:
    """Members in the order of the protocol page; those at their default are left out."""
    p = put(p, b'{"id":"')
    write_uuid(p, item.id_hi, item.id_lo)
    p += 36
    if item.pending_id_lo | item.pending_id_hi:
        p = put(p, b'","pending_id":"')
        write_uuid(p, item.pending_id_hi, item.pending_id_lo)
        if item.flags & TRANSFER_POST_PENDING_TRANSFER:
            return put(p + 36, b'","flags":["post_pending_transfer"]}')
        return put(p + 36, b'","flags":["void_pending_transfer"]}')
    p = write(put(p, b'","debit_account_id":'), item.debit_account_id)
    p = write(put(p, b',"credit_account_id":'), item.credit_account_id)
    p = write(put(p, b',"amount":'), item.amount)
    p = write(put(p, b',"ledger":'), item.ledger)
    p = write(put(p, b',"code":'), item.code)
    if item.flags & TRANSFER_PENDING:
        p = write(put(p, b',"flags":["pending"],"timeout":'), item.timeout)
    elif item.flags & TRANSFER_LINKED:
        p = put(p, b',"flags":["linked"]')
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_account(uint8_t* p, const Plan* plan, uint64_t number) noexcept nogil:
    p = write(put(p, b'{"id":'), plan.account_first + number)
    p = write(put(p, b',"ledger":'), plan.ledger)
    p = write(put(p, b',"code":'), plan.account_code)
    p[0] = c'}'
    return p + 1


cdef uint32_t plan_items(const Plan* plan, uint64_t number) noexcept nogil:
    cdef uint64_t first = number * plan.items
    if plan.script is not NULL:
        return plan.counts[number % plan.script_count]
    if plan.creates_accounts and plan.accounts - first < plan.items:
        return <uint32_t>(plan.accounts - first)
    return plan.items


cdef uint32_t plan_kind(const Plan* plan, uint64_t number) noexcept nogil:
    return plan.kinds[number % plan.script_count] if plan.script is not NULL else 0


cdef size_t plan_room(const Plan* plan) noexcept nogil:
    if plan.script is not NULL:
        return LINE_ROOM + plan.script_longest
    return LINE_ROOM + <size_t>plan.items * ITEM_ROOM


cdef uint8_t* plan_line(const Plan* plan, uint64_t number, uint64_t id, uint8_t* out) noexcept nogil:
    cdef TransferCommand item
    cdef uint64_t first = number * plan.items
    cdef uint32_t index
    out = write(put(out, b'{"id":'), id)
    if plan.script is not NULL:
        number %= plan.script_count
        memcpy(out, plan.script + plan.ends[number], plan.ends[number + 1] - plan.ends[number])
        return out + (plan.ends[number + 1] - plan.ends[number])
    if plan.creates_accounts:
        out = put(out, b',"method":"create_accounts","params":[')
    else:
        out = put(out, b',"method":"create_transfers","params":[')
    for index in range(plan_items(plan, number)):
        if index:
            out[0] = c','
            out += 1
        if plan.creates_accounts:
            out = put_account(out, plan, first + index)
        else:
            plan_item(plan, first + index, &item)
            out = put_transfer(out, &item)
    return put(out, b']}\n')


# --- the door -------------------------------------------------------------------------------------

cdef class Requests:
    """Requests of `items` items each, made from a workload; request r holds the items r·items … (r+1)·items - 1."""

    def __init__(self, workload, *, int items=1, bint accounts=False) -> None:
        cdef const uint32_t[:, ::1] pairs
        unit = 2 if workload.shape == "linked" and not accounts else 1
        if not 1 <= items <= 8190 or items % unit:
            raise ValueError(f"items: {items} is not a multiple of {unit} between {unit} and 8190")
        self.workload = workload
        self.pairs = workload.pairs()
        pairs = self.pairs
        self.plan.pairs = &pairs[0, 0]
        self.plan.draws_mask = workload.draws - 1
        self.plan.seed = workload.seed * definition.GOLDEN % 2**64
        self.plan.clock_ms = definition.CLOCK_MS
        self.plan.account_first = definition.ACCOUNT_FIRST
        self.plan.amount_max = definition.AMOUNT_MAX
        self.plan.ledger = definition.LEDGER
        self.plan.account_code = definition.ACCOUNT_CODE
        self.plan.code = definition.TRANSFER_CODE
        self.plan.hold_seconds = definition.HOLD_SECONDS
        self.plan.void_every = definition.VOID_EVERY
        self.plan.shape = SHAPES[workload.shape]
        self.plan.items = items
        self.plan.creates_accounts = accounts
        self.plan.accounts = workload.accounts
        self.kinds = ("create_accounts" if accounts else "create_transfers",)
        self.block = 2 if workload.shape == "two_phase" and items == 1 else 1
        self.reply_bytes = 160 * <size_t>items

    @property
    def items(self) -> int:
        """Items per request."""
        return self.plan.items

    @property
    def account_requests(self) -> int:
        """How many requests create all accounts."""
        return (self.plan.accounts + self.plan.items - 1) // self.plan.items

    def transfers(self, uint64_t first, uint32_t count):
        """TRANSFER_COMMAND records of the items `first` …: equal to `Workload.transfers`."""
        array = np.empty(count, dtype=TRANSFER_COMMAND)
        cdef uint8_t[::1] view = array.view(np.uint8)
        cdef uint32_t index
        for index in range(count):
            plan_item(&self.plan, first + index, <TransferCommand*>&view[index * sizeof(TransferCommand)])
        return array

    def lines(self, uint64_t first, uint32_t count) -> bytes:
        """The requests `first` … as lines of JSON; the JSON id is the request's number."""
        cdef uint64_t number
        cdef list lines = []
        cdef bytearray room = bytearray(plan_room(&self.plan))
        cdef uint8_t* base = room
        cdef uint8_t* end
        for number in range(first, first + count):
            end = plan_line(&self.plan, number, number, base)
            lines.append((<const char*>base)[:end - base])
        return b"".join(lines)

    def fill(self, Batch batch not None, uint64_t first, uint32_t count) -> None:
        """Puts the requests `first` … into the cleared batch, as the wire would; MemoryError when memory is out."""
        cdef TransferCommand* items
        cdef Request* request
        cdef uint64_t item_first = first * self.plan.items
        cdef uint32_t index
        batch.clear()
        items = batch.append_transfers(count * self.plan.items)
        if items is NULL:
            raise MemoryError
        for index in range(count * self.plan.items):
            plan_item(&self.plan, item_first + index, &items[index])
        for index in range(count):
            request = batch.append_request()
            if request is NULL:
                raise MemoryError
            memset(request, 0, sizeof(Request))
            request.kind = KIND_CREATE_TRANSFERS
            request.item_first = index * self.plan.items
            request.item_count = self.plan.items


cdef class Script(Requests):
    """Requests that were made beforehand, by whatever made them; numbers beyond the last begin again at the first.

    `lines` are the requests without their ids: what follows `{"id":N`, the LF included. `counts` says how many results
    each reply holds (0: any number), `kinds` which of the names in `names` each is of. A reply takes at most `reply_bytes`.
    """

    def __init__(self, lines, counts, kinds, *, names, size_t reply_bytes) -> None:
        cdef const uint8_t[::1] script
        cdef const uint64_t[::1] ends
        cdef const uint32_t[::1] sizes
        cdef const uint8_t[::1] numbers
        if not lines or not len(lines) == len(counts) == len(kinds):
            raise ValueError("lines, counts, kinds: as many of each, and at least one")
        if not 1 <= len(names) <= KINDS_MAX or max(kinds) >= len(names) or min(kinds) < 0:
            raise ValueError(f"names: between 1 and {KINDS_MAX}, one for each kind")
        lengths = [len(line) for line in lines]
        joined = np.frombuffer(b"".join(lines), np.uint8)
        places = np.concatenate(([0], np.cumsum(lengths))).astype(np.uint64)
        self.kept = (joined, places, np.array(counts, np.uint32), np.array(kinds, np.uint8))
        script, ends, sizes, numbers = self.kept
        self.plan.script = &script[0]
        self.plan.ends = &ends[0]
        self.plan.counts = &sizes[0]
        self.plan.kinds = &numbers[0]
        self.plan.script_count = len(lines)
        self.plan.script_longest = max(lengths)
        self.plan.items = 1
        self.kinds = tuple(names)
        self.block = 1
        self.reply_bytes = reply_bytes

    def __len__(self) -> int:
        return self.plan.script_count

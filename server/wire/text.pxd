# The C primitives of `text.h`, and blanks.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "text.h" nogil:
    const unsigned int PAD "TB_PAD"         # bytes that must be readable behind the text

    bint likely "TB_LIKELY" (bint)

    uint64_t load64 "tb_load64" (const uint8_t* p) noexcept
    void store64 "tb_store64" (uint8_t* p, uint64_t x) noexcept

    unsigned int digits "tb_digits" (const uint8_t* p, uint64_t* value) noexcept    # how many; 0 = not a number
    int hex128 "tb_hex128" (uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t* hi, uint64_t* lo) noexcept
    int uuid36 "tb_uuid36" (const uint8_t* p, uint64_t* hi, uint64_t* lo) noexcept  # 0 = not a UUID
    int uuid32 "tb_uuid32" (const uint8_t* p, uint64_t* hi, uint64_t* lo) noexcept
    unsigned int quote "tb_quote" (const uint8_t* p) noexcept                       # 0 … 31; 32 = none in sight
    unsigned int plain "tb_plain" (const uint8_t* p) noexcept                       # plain ASCII ahead, 0 … 16

    ctypedef struct Names "tb_names":       # a fixed set of names, found in constant time
        pass
    int names_build "tb_names_build" (
        Names* names, const uint8_t* const* texts, const unsigned int* lengths, int count) noexcept
    int find "tb_find" (const Names* names, const uint8_t* p, unsigned int length) noexcept     # index or -1

    unsigned int symbol "tb_symbol" (const uint8_t* p, uint64_t* words) noexcept        # length, 0 … 24

    ctypedef struct OrderText "tb_order":
        uint64_t client_hi
        uint64_t client_lo
        uint64_t account
        uint64_t symbol[3]
        uint64_t quantity
        uint64_t price
        unsigned int side
        unsigned int type
        unsigned int priced
    const uint8_t* submit_orders_template "tb_submit_orders_template" (const uint8_t* p) noexcept
    const uint8_t* order_template "tb_order_template" (const uint8_t* p, OrderText* out) noexcept

    ctypedef struct TransferText "tb_transfer":
        uint64_t id_hi
        uint64_t id_lo
        uint64_t debit
        uint64_t credit
        uint64_t amount
        uint64_t ledger
        uint64_t code
    uint8_t* write "tb_write" (uint8_t* p, uint64_t value) noexcept     # decimal; touches up to 24 bytes
    void write_uuid "tb_write_uuid" (uint8_t* p, uint64_t hi, uint64_t lo) noexcept     # 36 bytes

    const uint8_t* create_transfers_template "tb_create_transfers_template" (const uint8_t* p) noexcept
    const uint8_t* transfer_template "tb_transfer_template" (const uint8_t* p, TransferText* out) noexcept


cdef inline const uint8_t* skip_blanks(const uint8_t* p) noexcept nogil:
    """Behind spaces, tabs and CRs. LF is not among them: it ends the line."""
    while p[0] == c' ' or p[0] == c'\t' or p[0] == c'\r':
        p += 1
    return p

"""See `replies.pxd`. A reply with one `created` costs about 20 nanoseconds."""

from libc.string cimport memcmp, memcpy, strlen

from server.wire.text cimport digits

from engine.results import Status

cdef StatusName names[STATUSES]
cdef uint32_t name_count = 0


def _load_names() -> None:
    global name_count
    for status in Status:
        text = status.name.lower().encode()
        if status >= STATUSES - 1 or len(text) > NAME_ROOM:
            raise ImportError(f"loadtest.replies: no room for the status {status.name}")
        names[status].length = len(text)
        memcpy(names[status].text, <const char*>text, len(text))
        name_count = max(name_count, status + 1)


_load_names()


cdef inline const uint8_t* skip(const uint8_t* p, const char* text) noexcept nogil:
    """Behind `text`, which must stand at `p`; NULL otherwise."""
    cdef size_t length = strlen(text)   # of a literal: known when compiled
    if p is NULL or memcmp(p, text, length) != 0:
        return NULL
    return p + length


cdef inline const uint8_t* skip_number(const uint8_t* p, uint64_t* value) noexcept nogil:
    cdef unsigned int count
    if p is NULL:
        return NULL
    count = digits(p, value)
    return p + count if count else NULL


cdef const uint8_t* skip_status(const uint8_t* p, const uint8_t* end, uint32_t* status) noexcept nogil:
    """A status name and its quotation mark."""
    cdef uint32_t length = 0
    while p + length < end and p[length] != c'"':
        length += 1
    if p + length == end:
        return NULL
    for status[0] in range(name_count):
        if names[status[0]].length == length and memcmp(names[status[0]].text, p, length) == 0:
            return p + length + 1
    status[0] = STATUSES - 1
    return p + length + 1


cdef void keep(Tally* tally, const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef size_t length = end - p
    if tally.kept_count == KEPT_MAX:
        return
    if length > KEPT_ROOM:
        length = KEPT_ROOM
    memcpy(tally.kept[tally.kept_count], p, length)
    tally.kept_length[tally.kept_count] = <uint32_t>length
    tally.kept_count += 1


cdef void count_error(Tally* tally, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """`p` stands behind `"error":{"code":-`."""
    cdef uint64_t value = 0
    cdef int64_t code
    cdef uint32_t index = 0
    digits(p, &value)
    code = -<int64_t>value
    while index < tally.error_code_count and tally.error_codes[index] != code:
        index += 1
    if index == ERRORS_MAX:
        index -= 1
    elif index == tally.error_code_count:
        tally.error_codes[index] = code
        tally.error_code_count += 1
    tally.error_counts[index] += 1


cdef bint reply_check(
    Tally* tally, const uint8_t* p, const uint8_t* end, uint64_t id, uint32_t items, uint64_t* timestamp) noexcept nogil:
    cdef const uint8_t* line = p
    cdef const uint8_t* at
    cdef uint64_t number = 0
    cdef uint32_t index, status
    cdef bint good = True
    p = skip_number(skip(p, b'{"id":'), &number)
    if p is NULL or number != id:
        tally.wrong += 1
        keep(tally, line, end)
        return False
    at = skip(p, b',"error":{"code":-')
    if at is not NULL:
        tally.errors += 1
        count_error(tally, at, end)
        keep(tally, line, end)
        return True
    p = skip(p, b',"result":[')
    for index in range(items):
        at = skip(p, b'{"status":"created"')
        status = 0
        if at is NULL:
            at = skip(p, b'{"status":"')
            if at is NULL:
                p = NULL
                break
            at = skip_status(at, end, &status)
        p = skip_number(skip(at, b',"timestamp":'), &number)
        p = skip(p, b"}," if index + 1 < items else b"}]")
        if p is NULL:
            break
        tally.statuses[status] += 1
        good = good and tally.allowed[status]
        if status == 0:
            if number <= timestamp[0]:
                p = NULL
                break
            timestamp[0] = number
    p = skip(skip_number(skip(p, b',"seq":'), &number), b"}")
    if p != end:
        tally.wrong += 1
        keep(tally, line, end)
        return False
    if good:
        tally.expected += 1
    else:
        tally.unexpected += 1
        keep(tally, line, end)
    return True


# --- requests of a script ---------------------------------------------------------------------------

cdef bint count_word(Tally* tally, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Counts the word at p, which a quotation mark ends; whether it is allowed."""
    cdef uint32_t length = 0
    cdef uint32_t index
    while p + length < end and p[length] != c'"' and length < NAME_ROOM:
        length += 1
    for index in range(tally.word_count):
        if tally.words[index].length == length and memcmp(tally.words[index].text, p, length) == 0:
            tally.word_counts[index] += 1
            return index < tally.words_allowed
    index = tally.word_count
    if index == WORDS_MAX:
        return False                    # it fails, without a name
    memcpy(tally.words[index].text, p, length)
    tally.words[index].length = length
    tally.word_counts[index] = 1
    tally.word_count += 1
    return False


cdef uint32_t count_results(Tally* tally, const uint8_t* p, const uint8_t* end, bint* good) noexcept nogil:
    """How many results stand between the brackets p … end; each begins with `{"` at their depth."""
    cdef uint32_t found = 0
    cdef int depth = 0
    cdef bint text = False
    cdef const uint8_t* word
    while p < end:
        if text:
            # Nothing that the server writes holds a quotation mark or a backslash inside a text.
            text = p[0] != c'"'
        elif p[0] == c'"':
            text = True
        elif p[0] == c'{' or p[0] == c'[':
            if depth == 0:
                found += 1
                word = skip(p, b'{"status":"')
                if word is not NULL:
                    if memcmp(word, b'rejected","reason":"', 20) == 0:
                        word += 20
                    if not count_word(tally, word, end):
                        good[0] = False
            depth += 1
        elif p[0] == c'}' or p[0] == c']':
            depth -= 1
        elif p[0] == c'n' and depth == 0:       # null: what was asked for is not there
            found += 1
            good[0] = False
            p += 3
        p += 1
    return found


cdef bint reply_judge(Tally* tally, const uint8_t* p, const uint8_t* end, uint64_t id, uint32_t items) noexcept nogil:
    cdef const uint8_t* line = p
    cdef const uint8_t* at
    cdef uint64_t number = 0
    cdef uint32_t found
    cdef bint good = True
    p = skip_number(skip(p, b'{"id":'), &number)
    if p is not NULL and number == id:
        at = skip(p, b',"error":{"code":-')
        if at is not NULL:
            tally.errors += 1
            count_error(tally, at, end)
            keep(tally, line, end)
            return True
        p = skip(p, b',"result":')
    else:
        p = NULL
    # The result ends where `,"seq":` begins, which stands once, at the end.
    at = end - 1
    while p is not NULL and at > p and at[0] != c',':
        at -= 1
    if p is NULL or skip(skip_number(skip(at, b',"seq":'), &number), b"}") != end:
        tally.wrong += 1
        keep(tally, line, end)
        return False
    if p[0] == c'[':
        found = count_results(tally, p + 1, at - 1, &good)
        good = good and (items == 0 or found == items)
    else:
        good = items <= 1
    if good:
        tally.expected += 1
    else:
        tally.unexpected += 1
        keep(tally, line, end)
    return True


cdef int tally_allow(Tally* tally, word) except -1:
    """Words that are no failure; before anything is counted."""
    text = word.encode()
    if tally.word_count == WORDS_MAX or len(text) > NAME_ROOM:
        raise ValueError(f"allowed: no room for {word}")
    tally.words[tally.word_count].length = len(text)
    memcpy(tally.words[tally.word_count].text, <const char*>text, len(text))
    tally.word_count += 1
    tally.words_allowed = tally.word_count
    return 0


cdef dict tally_counts(const Tally* tally):
    """Statuses of items, error codes and kept lines, for the result."""
    return {
        "statuses": {
            Status(index).name.lower() if index < STATUSES - 1 else "unknown": tally.statuses[index]
            for index in range(STATUSES) if tally.statuses[index]
        } | {
            (<const char*>tally.words[index].text)[:tally.words[index].length].decode(): tally.word_counts[index]
            for index in range(tally.word_count) if tally.word_counts[index]
        },
        "errors": {str(tally.error_codes[index]): tally.error_counts[index] for index in range(tally.error_code_count)},
        "requests_unexpected": tally.unexpected,
        "requests_failed": tally.errors,
        "replies_wrong": tally.wrong,
        "kept": [
            (<const char*>tally.kept[index])[:tally.kept_length[index]].decode("utf-8", "replace")
            for index in range(tally.kept_count)
        ],
    }

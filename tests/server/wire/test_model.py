"""The compiled parser against the plain one, and against itself when the input arrives in other pieces."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.wire import tools
from tests.models.wire import ALWAYS, METHODS, Limits, agree, read_stream
from tests.server.wire.lines import Lines
from tests.server.wire.subjects import in_words, parse, splits

EVERYTHING = frozenset(METHODS) - ALWAYS
SLOW = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])

limits = st.builds(
    Limits,
    line_max=st.sampled_from([2 * 2**20, 400, 150]),
    items_max=st.sampled_from([8190, 2]),
    query_limit_max=st.sampled_from([8190, 50]),
    allowed=st.sampled_from([EVERYTHING, EVERYTHING, frozenset({"create_transfers"}), frozenset()]),
    logged_on=st.booleans(),
)


@given(random=st.randoms(use_true_random=True), limits=limits, spoil=st.sampled_from([0.0, 0.005, 0.02, 0.1]))
@SLOW
def test_the_parser_asks_for_what_the_model_asks_for(random: Random, limits: Limits, spoil: float):
    data = Lines(random, spoil).stream(random.randrange(1, 6))
    batch, closed = parse([data], limits)
    said, wanted_closed = read_stream(data, limits)
    assert agree(in_words(tools.dump(batch)), said)
    assert closed == wanted_closed


@given(random=st.randoms(use_true_random=True), limits=limits, spoil=st.sampled_from([0.0, 0.02]))
@SLOW
def test_any_split_gives_the_same(random: Random, limits: Limits, spoil: float):
    data = Lines(random, spoil).stream(random.randrange(1, 6))
    whole, closed = parse([data], limits)
    for pieces in ([data[i : i + 1] for i in range(len(data))], splits(data, random)):
        parts, parts_closed = parse(pieces, limits)
        assert parts_closed == closed
        assert tools.raw(parts) == tools.raw(whole)
        assert parts.answers == whole.answers


@given(data=st.binary(max_size=60).map(lambda noise: noise + b"\n"))
@settings(deadline=None)
def test_noise_is_refused_as_the_model_refuses_it(data: bytes):
    allowed = Limits(allowed=EVERYTHING)
    batch, closed = parse([data], allowed)
    said, wanted_closed = read_stream(data, allowed)
    assert agree(in_words(tools.dump(batch)), said)
    assert closed == wanted_closed

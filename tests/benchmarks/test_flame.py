"""From what perf and py-spy write to a drawing."""

from xml.etree import ElementTree

import pytest

from benchmarks.profiling.flame import WIDTH, svg
from benchmarks.profiling.owners import by_group
from benchmarks.profiling.sampling import read_folded, read_perf
from benchmarks.profiling.symbols import INTERPRETER, Frame, readable

PYTHON = "/usr/lib/libpython3.11.so.1.0"
UVLOOP = "/x/site-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so"
PERF = f"""python 100
\tffffffff81000000 clear_page_erms ([kernel.kallsyms])
\tffffffff81000001 do_anonymous_page ([kernel.kallsyms])
\t           1a6a4 __pyx_pw_6engine_7machine_6Engine_21apply (/srv/tongbao/engine/machine.cpython-311.so)
\t           fd9c2 _PyEval_EvalFrameDefault ({PYTHON})
\t          158ba2 PyObject_Vectorcall ({PYTHON})
\t          12a2f6 uv_run ({UVLOOP})
\t            1080 _start (/usr/bin/python3.11)

python 100
\t            5080 _PyObject_Malloc ({PYTHON})
\t           fd9c2 _PyEval_EvalFrameDefault ({PYTHON})
\t          12cc40 uv__run_idle ({UVLOOP})
\t          12a2f6 uv_run ({UVLOOP})

python 107
\tffffffff81000000 clear_page_erms ([kernel.kallsyms])
\t           0a0a0 __pyx_f_6engine_5_core_5ahead_populate (/srv/tongbao/engine/_core/ahead.cpython-311.so)

"""


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("__pyx_f_6engine_7machine_6Engine_apply", "engine.machine.Engine.apply"),
        ("__pyx_f_6engine_5_core_7posting_create_transfers.constprop.0", "engine._core.posting.create_transfers"),
        ("__pyx_pw_6server_4wire_6encode_1encode", "server.wire.encode.encode"),
        ("__pyx_f_6uvloop_4loop_6Handle__run", "uvloop.loop.Handle._run"),
        ("ZSTD_compressBlock_fast.part.0", "ZSTD_compressBlock_fast"),
        ("__Pyx_PyObject_Call", "__Pyx_PyObject_Call"),
    ],
)
def test_symbols_are_readable(symbol: str, name: str) -> None:
    assert readable(symbol) == name


def test_perf() -> None:
    stacks = read_perf(PERF, loop=100)
    loop, others = Frame("event loop", "other"), Frame("other threads", "other")
    assert stacks == {
        (
            loop,
            INTERPRETER,
            Frame("engine.machine.Engine.apply", "Tongbao"),
            Frame("do_anonymous_page", "kernel"),
            Frame("clear_page_erms", "kernel"),
        ): 1,
        (loop, Frame("uv__run_idle", "uvloop"), INTERPRETER, Frame("_PyObject_Malloc", "CPython")): 1,
        (others, Frame("engine._core.ahead.populate", "Tongbao"), Frame("clear_page_erms", "kernel")): 1,
    }
    assert by_group(stacks) == {"clearing pages": 1, "Python": 1, "other threads: clearing pages": 1}


def test_py_spy() -> None:
    folded = (
        "thread (7): MainThread;run (asyncio/runners.py:118);uv_run (core.c:452);Py_DECREF (object.h:602);"
        "Batcher._apply (server/batcher.py:369);Engine_apply (engine/machine.cpython-311.so) 41\n"
        "thread (7): MainThread;uv_run (core.c:464);uv__io_poll (linux.c:1);epoll_pwait (libc.so.6) 9\n"
    )
    assert read_folded(folded) == {
        (
            Frame("event loop", "other"),
            Frame("Batcher._apply (server/batcher.py)", "Tongbao"),
            Frame("Engine_apply", "Tongbao"),
        ): 41
    }


def test_drawing() -> None:
    left, right = Frame("a<b>", "Tongbao"), Frame("right", "kernel")
    drawn = ElementTree.fromstring(svg({(left,): 30, (right, left): 10}, "a & b", "note"))
    frames = [each for each in drawn.iter("{http://www.w3.org/2000/svg}g") if each.get("class") == "f"]
    assert [(each.get("data-n"), float(each.get("data-x", "")), float(each.get("data-w", ""))) for each in frames] == [
        ("all", 0.0, 1.0), ("a<b>", 0.0, 0.75), ("right", 0.75, 0.25), ("a<b>", 0.75, 0.25),
    ]  # fmt: skip
    rows = [float(next(iter(each.iter("{http://www.w3.org/2000/svg}rect"))).get("y", "")) for each in frames]
    assert rows[0] > rows[1] == rows[2] > rows[3]  # callees above their callers
    assert frames[1][0].text == "a<b> — 30 samples, 75.00 %"
    assert "http" not in ElementTree.tostring(drawn, "unicode").replace("http://www.w3.org/2000/svg", "")
    assert float(drawn.get("viewBox", "").split()[2]) == WIDTH


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no samples"):
        svg({}, "", "")

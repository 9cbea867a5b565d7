"""The compiled modules and how they are compiled; everything else is in pyproject.toml.

TONGBAO_DEBUG=1 builds the checked twin: bounds checks, invariant checks after every batch, no SSE2.
TONGBAO_SANITIZE=address,undefined builds with gcc's sanitizers.
TONGBAO_MARCH=native (or any gcc -march) tunes for a processor; wheels leave it unset.
TONGBAO_COMPILED=1 says that `build_ext --inplace` has run: an editable installation would compile everything once more.
"""

import os
import sys

import numpy
from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

DEBUG = os.environ.get("TONGBAO_DEBUG") == "1"
SANITIZE = os.environ.get("TONGBAO_SANITIZE", "")
MARCH = os.environ.get("TONGBAO_MARCH", "")

Options.warning_errors = True

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "overflowcheck": False,  # money uses engine/_core/checked.pxd, which reports instead of raising
    "linetrace": False,
    "binding": True,
    "warn.undeclared": False,
    "warn.unreachable": True,
    "warn.multiple_declarators": False,
}

MODULES = [
    "engine._core.records",
    "engine._core.order_records",
    "engine._core.risk_records",
    "engine._core.order_codes",
    "engine._core.codes",
    "engine._core.batch",
    "engine._core.memory",
    "engine._core.table",
    "engine._core.store",
    "engine._core.expiry",
    "engine._core.accounts",
    "engine._core.posting",
    "engine._core.reads",
    "engine._core.forked",
    "engine._core.ahead",
    "engine.matching.records",
    "engine.matching.market",
    "engine.matching.levels",
    "engine.matching.book",
    "engine.matching.auction",
    "engine.matching.solo",
    "engine.settlement.records",
    "engine.settlement.store",
    "engine.settlement.holds",
    "engine.settlement.fills",
    "engine.settlement.day",
    "engine.settlement.busts",
    "engine.risk.records",
    "engine.risk.store",
    "engine.risk.exposure",
    "engine.risk.verdict",
    "engine.listing",
    "engine.orders",
    "engine.limit_commands",
    "engine.sessions",
    "engine.trading",
    "engine.order_reads",
    "engine.requests",
    "engine.order_requests",
    "engine.machine",
    "engine.log_record",
    "server.wire.buffer",
    "server.wire.output",
    "server.wire.scan",
    "server.wire.shapes",
    "server.wire.fields",
    "server.wire.order_shapes",
    "server.wire.orders",
    "server.wire.limits",
    "server.wire.items",
    "server.wire.parser",
    "server.wire.encode_orders",
    "server.wire.encode_limits",
    "server.wire.encode",
    "server.wire.requests",
    "server.wire.reader",
    "server.wire.tools",
    "loadtest.histogram",
    "loadtest.replies",
    "loadtest.requests",
    "loadtest.loop",
    "server.batches",
]

if "--inplace" in sys.argv:  # never part of a wheel
    MODULES.append("benchmarks.risk_twin")
if os.environ.get("TONGBAO_COMPILED") == "1":
    MODULES.clear()

ARGS = [
    "-std=c11",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-sign-compare",
    "-Wno-unused-variable",
    "-Wno-unused-but-set-variable",
]
ARGS += ["-O1", "-g", "-fno-omit-frame-pointer"] if DEBUG or SANITIZE else ["-O3", "-g0", "-fno-plt"]
LINK: list[str] = []
if MARCH:
    ARGS.append(f"-march={MARCH}")
if SANITIZE:
    ARGS.append(f"-fsanitize={SANITIZE}")
    LINK.append(f"-fsanitize={SANITIZE}")

extensions = [
    Extension(
        name,
        [name.replace(".", "/") + ".pyx"],
        include_dirs=[numpy.get_include(), "engine/_core", "server/wire"],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("TONGBAO_CHECKED", "1" if DEBUG else "0"),
            *([("TONGBAO_PORTABLE", "1")] if DEBUG else []),  # the checked twin tests the code without SSE2 too
        ],
        extra_compile_args=ARGS,
        extra_link_args=LINK,
    )
    for name in MODULES
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        show_all_warnings=False,
    )
)

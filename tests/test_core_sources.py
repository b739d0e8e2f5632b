"""How the sources of the core call oneDNN."""
import os
import re

from conftest import ROOT

CORE = os.path.join(ROOT, "csrc")

#: Of oneDNN's functions those that neither allocate nor throw.
ALLOCATE_NOTHING = re.compile(
    "dnnl_(.*_destroy|data_type_size|get_.*|memory_(desc_(equal|get_size|query)|get_.*|set_data_handle)"
    "|primitive_attr_set_scratchpad_mode|primitive_desc_query(_md)?|set_primitive_cache_capacity"
    "|version)$")


def sources():
    for folder, _, names in os.walk(CORE):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, CORE), file.read()


def test_whatever_allocates_is_called_with_its_exceptions_caught():
    """Else std::bad_alloc ends the process."""
    texts = dict(sources())
    guard = os.path.join("common", "exceptions.h")
    caught = set(re.findall(r"#define (dnnl_\w+)\(", texts[guard]))
    called = set(name for text in texts.values() for name in re.findall(r"\b(dnnl_\w+)\(", text))
    assert "dnnl_primitive_create" in caught
    assert sorted(name for name in called - caught if not ALLOCATE_NOTHING.match(name)) == []
    assert sorted(caught - called) == []
    assert [name for name, text in texts.items()
            if name != guard and re.search(r"#include <oneapi/dnnl/", text)] == []

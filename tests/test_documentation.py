"""The documentation says what is so: its examples run, and its reference is complete."""
import doctest
import os
import re

import pytest
from PIL import Image

import gear_transfer as gt
from conftest import ROOT

DOCS = os.path.join(ROOT, "docs")
PAGES = ("how_it_works.rst", "production.rst", "safety.rst", "start.rst", "workbench.rst")


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as stream:
        return stream.read()


def test_these_are_all_pages():
    assert sorted(name for name in os.listdir(DOCS) if name.endswith(".rst")) == sorted(
        PAGES + ("api.rst", "glossary.rst", "index.rst", "maintainers.rst"))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.slow
def test_examples_of_a_page(name, tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    path = os.path.join(DOCS, name)
    result = doctest.testfile(path, module_relative=False, encoding="utf-8")
    assert result.attempted >= 3 and result.failed == 0


def test_reference_has_every_public_name():
    named = re.findall(r"^   ([A-Za-z]\w+)$", read("docs", "api.rst"), flags=re.MULTILINE)
    assert sorted(named) == gt.__all__


@pytest.mark.slow
def test_examples_of_the_readme(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)
    assert len(blocks) >= 1
    monkeypatch.chdir(str(tmp_path))
    import matplotlib.pyplot as plt
    monkeypatch.setattr(plt, "show", lambda: None)
    gt.make_shapes("gear_images", per_class=20)
    os.mkdir("new")
    for seed, name in enumerate(("axe.jpg", "tent.png")):
        Image.fromarray(gt.make_shape("square", random_state=seed)).save("new/" + name)
    scope = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    plt.close("all")
    assert scope["predictions"].tolist() == ["square", "square"]
    assert scope["model"].classes_.tolist() == ["circle", "square", "triangle"]


def test_commands_of_the_readme_and_the_pages_exist():
    from gear_transfer import cli
    texts = read("README.md") + "".join(read("docs", name) for name in PAGES)
    commands = set(re.findall(r"gear-transfer ([a-z]+)", texts))
    assert len(commands) >= 3
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0, command
    assert set(re.findall(r"sh (ci/\w+\.sh)", texts)) <= set(
        "ci/" + name for name in os.listdir(os.path.join(ROOT, "ci")))

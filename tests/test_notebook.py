"""The notebooks: their form, and what they show when run from top to bottom."""
import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT
from gear_transfer import DatasetError

NOTEBOOK = os.path.join(ROOT, "notebooks", "04-Transfer-Learning.ipynb")
LOOK_INSIDE = os.path.join(ROOT, "notebooks", "05-Look-Inside.ipynb")


def read_notebook(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_notebook(folder, **environment):
    """Execute a copy of the notebook in `folder`; the executed notebook."""
    return execute(shutil.copy(NOTEBOOK, str(folder)), **environment)


def execute(path, **environment):
    """Execute a notebook in its place; the executed notebook."""
    settings = dict(os.environ, **environment)
    settings.pop("PYTHONWARNINGS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--inplace", "--execute",
         "--ExecutePreprocessor.timeout=600", "--ExecutePreprocessor.kernel_name=python3", path],
        cwd=os.path.dirname(path), env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.communicate()[0].decode("utf-8", "replace")
    assert process.returncode == 0, output[-3000:]
    return read_notebook(path)


def executed(path, folder, **environment):
    """The notebook and the folder it wrote to, run in a copy in `folder` or where it has run.

    EXECUTED_NOTEBOOKS lists folders, where .ci/run has had the notebooks run."""
    name = os.path.basename(path)
    for place in filter(None, os.environ.get("EXECUTED_NOTEBOOKS", "").split(os.pathsep)):
        if os.path.exists(os.path.join(place, name)):
            return read_notebook(os.path.join(place, name)), place
    return execute(shutil.copy(path, str(folder)), **environment), str(folder)


def printed(notebook):
    """All that the notebook printed."""
    texts = []
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", "".join(output["text"])
            texts.append("".join(output.get("text", [])))
    return "".join(texts)


def count_pictures(notebook):
    return sum("image/png" in output.get("data", {})
               for cell in code_cells(notebook) for output in cell["outputs"])


@pytest.mark.parametrize("path", [NOTEBOOK, LOOK_INSIDE])
def test_form(path):
    notebook = read_notebook(path)
    assert notebook["metadata"]["kernelspec"] == {
        "display_name": "Python 3.5", "language": "python", "name": "python3"}
    for cell in code_cells(notebook):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        assert len(cell["source"]) <= 16
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        names = [node for node in ast.walk(ast.parse(source))]
        assert not any(type(node).__name__ in ("JoinedStr", "AnnAssign", "NamedExpr")
                       for node in names)
        assert not any(isinstance(node, ast.Name) and node.id == "input" for node in names)


@pytest.mark.parametrize("variable", ["GEAR_IMAGES", "NEW_IMAGES"])
@pytest.mark.parametrize("script", ["notebook.sh", "jupyterhub.sh"])
def test_a_misspelt_folder_stops_the_script_at_once(tmp_path, variable, script):
    process = subprocess.Popen(
        ["sh", os.path.join(ROOT, "ci", script), str(tmp_path / "built")], stderr=subprocess.PIPE,
        env=dict(os.environ, **{"GEAR_IMAGES": "", "NEW_IMAGES": "", variable: "no such folder"}))
    errors = process.communicate()[1].decode("utf-8")
    assert process.returncode == 1 and variable + " names no folder: no such folder" in errors
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("path, variable", [(NOTEBOOK, "GEAR_IMAGES"), (LOOK_INSIDE, "GEAR_IMAGES"),
                                            (NOTEBOOK, "NEW_IMAGES")])
def test_a_misspelt_folder_stops_the_notebook(path, variable, tmp_path, monkeypatch):
    """Shapes are no substitute for photographs that somebody asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEAR_IMAGES", ""), monkeypatch.setenv("NEW_IMAGES", "")
    monkeypatch.setenv(variable, "no such folder")
    names = {}
    with pytest.raises(DatasetError, match="no folder 'no such folder'"):
        for cell in code_cells(read_notebook(path)):
            source = "".join(line for line in cell["source"] if not line.startswith("%"))
            exec(compile(source, path, "exec"), names)


def test_sections_are_those_of_the_sample_in_its_order():
    headings = [line.strip("# \n") for cell in read_notebook(NOTEBOOK)["cells"]
                if cell["cell_type"] == "markdown" for line in cell["source"]
                if line.startswith("#")]
    wanted = ["Transfer Learning", "Data", "Framework", "Preparing", "Base", "Freeze", "Training",
              "Loss History", "Using the Trained Model", "Break It", "Exercises", "Learning More"]
    assert len(headings) == len(wanted)
    for heading, word in zip(headings, wanted):
        assert word in heading


@pytest.mark.slow
def test_on_generated_shapes(tmp_path):
    notebook, folder = executed(NOTEBOOK, tmp_path, GEAR_IMAGES="", NEW_IMAGES="")
    text = printed(notebook)
    assert "class names: circle, square, triangle" in text
    assert "The challenge of 0.90 is met" in text  # drawn shapes are much alike: few groups
    assert count_pictures(notebook) == 6
    assert os.path.getsize(os.path.join(folder, "predictions.png")) > 10000
    assert os.path.exists(os.path.join(folder, "gear_classifier.gtm"))


@pytest.mark.slow
def test_on_gear(tmp_path, shared):
    notebook = run_notebook(tmp_path, GEAR_IMAGES=os.path.join(shared, "gear", "images"),
                            NEW_IMAGES=os.path.join(shared, "gear", "new_images"))
    text = printed(notebook)
    assert "['axes', 'carabiners', 'hardshell_jackets', 'rope', 'tents']" in text
    assert "The challenge of 0.90 is met." in text
    assert count_pictures(notebook) == 6


@pytest.mark.parametrize("name", ["gear_images", "resized_images"])
@pytest.mark.slow
def test_finds_a_folder_beside_the_notebook(tmp_path, name):
    import gear_transfer as gt
    gt.make_shapes(str(tmp_path / name), per_class=20)
    assert "Image files ready in " + name in printed(
        run_notebook(tmp_path, GEAR_IMAGES="", NEW_IMAGES=""))


@pytest.mark.slow
def test_what_a_kernel_shows(tmp_path):
    """Image sets and fitted models as tables, progress as text where there are no widgets."""
    cells = ["import gear_transfer as gt\n"
             "images = gt.load_folder(gt.make_shapes('shapes', per_class=8, size=64))\nimages",
             "import sys; sys.modules['ipywidgets'] = None\n"
             "model = gt.TransferClassifier(layer='mixed0', input_size=64, epochs=3, cache=False,\n"
             "                              verbose=1)\nmodel.fit(images)"]
    notebook = read_notebook(NOTEBOOK)
    notebook["cells"] = [dict(code_cells(notebook)[0], source=[text]) for text in cells]
    for i, cell in enumerate(notebook["cells"]):
        cell.pop("id", None)
        if notebook["nbformat_minor"] >= 5:
            cell["id"] = "cell-{}".format(i)
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook))
    found = code_cells(execute(str(path)))
    shown = [["".join(output["data"].get("text/html", "")) for output in cell["outputs"]
              if output["output_type"] == "execute_result"] for cell in found]
    assert "<td style='text-align:left'>circle</td><td>8</td>" in shown[0][0]
    assert "<td style='text-align:left'>dense</td>" in shown[1][0]
    text = "".join("".join(output.get("text", "")) for output in found[1]["outputs"]
                   if output.get("name") == "stdout")
    assert "Features: 100%" in text and "Head: 100%" in text


# Look Inside

def shown(notebook):
    """The HTML of all tables."""
    return "".join("".join(output.get("data", {}).get("text/html", []))
                   for cell in code_cells(notebook) for output in cell["outputs"])


@pytest.mark.slow
def test_look_inside(tmp_path):
    import gear_transfer as gt
    pictures = gt.make_shapes(str(tmp_path / "pictures"), per_class=40)
    notebook, folder = executed(LOOK_INSIDE, tmp_path, GEAR_IMAGES=pictures)
    text, tables = printed(notebook), shown(notebook)
    assert "groups on both sides: 0" in text
    scores = re.search(r"known scores: \[(.*)\]", text).group(1).split()
    assert all(float(score) < 0.05 for score in scores[2:]) and len(scores) == 5
    assert "photographs alone" in text and "with views" in text
    assert "images a second" in " ".join(text.split())  # of lines that are wrapped
    assert "Target 90.0 %" in tables and "may have a wrong label" in tables
    assert "more photographs" in tables.lower()
    assert count_pictures(notebook) >= 11
    assert os.path.getsize(os.path.join(folder, "report.html")) > 50000

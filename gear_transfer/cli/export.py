"""gear-transfer export: a saved classifier for other programs."""
from .options import add_json, check_destination
from .output import file_facts, write, write_json

SUMMARY = "write a saved classifier for other programs"
DESCRIPTION = """\
Write a saved MODEL as one network for other programs: pixels of photographs of its
input size (uint8, RGB) in, probabilities out, in float32. The ending of FILE says
the format: .onnx for ONNX Runtime, OpenVINO and others, .keras for Keras 3. A JSON file beside it has the
labels and how photographs are brought to that size. One line about each goes to
standard output, or with --json their paths, sizes and SHA-256."""
EXAMPLES = """\
examples:
  gear-transfer export gear.gtm gear.onnx
  gear-transfer export gear.gtm gear.keras
  gear-transfer export gear.gtm gear.onnx --json | jq -r '.files[0].sha256'"""


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a saved classifier")
    parser.add_argument("file", metavar="FILE", help="the file to write, *.onnx or *.keras")
    add_json(parser, "lines of text")


def run(arguments):
    from ..classifiers.model_file import load_model
    from ..exporters.export import export
    check_destination(arguments.file)
    facts = [file_facts(path) for path in export(
        load_model(arguments.model, cache=False, verbose=0), arguments.file)]
    if arguments.json:
        write_json({"files": facts})
    else:
        for each in facts:
            write("{}: {:,} bytes\n".format(each["path"], each["bytes"]))
    return 0

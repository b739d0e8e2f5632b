"""Which folder uses which: the floors of csrc/ and of gear_transfer/, read from the real includes and imports.

    python3 ci/floors.py [--draw PICTURE.svg]

A folder may use the folders of lower floors and its own.  Folders on one floor do not use each
other, nor do the folders of csrc/kernels/.  No file of the core may lead back to itself.  Prints one
line for each breach and fails if there is one.
"""
import argparse
import ast
import os
import re
import sys

CORE = [["common"], ["kernels", "graph", "threads"], ["plan", "head"], ["lower"], ["runtime"], ["python"]]
PACKAGE = [["errors", "_core"], ["common"], ["importers", "photographs"], ["features"], ["classifiers"],
           ["workbench", "exporters"], ["plots"], ["reporting"], ["serving"], ["cli"]]

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
PRIVATE = re.compile(r"^_[^_]")


def files_below(folder, *endings):
    """Paths of the files below a folder, in order."""
    for place, folders, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.join(place, name)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def core_arrows(folder):
    """Pairs (file, included file) of the C core, as paths from its folder."""
    arrows = []
    for path in files_below(folder, ".c", ".h"):
        for included in INCLUDE.findall(read(path)):
            arrows.append((os.path.relpath(path, folder), included))
    return arrows


def imported_modules(path, package):
    """Pairs (dotted name, imported name) of what a module of the package imports from it."""
    parts = os.path.relpath(path, os.path.dirname(package)).split(os.sep)[:-1]
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.ImportFrom):
            base = parts[:len(parts) + 1 - node.level] if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            if full[:1] == [os.path.basename(package)]:
                for alias in node.names:
                    yield full[1:], alias.name


def package_arrows(package):
    """Tuples (file, folder, target folder, imported name), as seen from the package's folder."""
    arrows = []
    for path in files_below(package, ".py"):
        name = os.path.relpath(path, package)
        if os.sep not in name:
            continue  # the package's own front names everything
        for full, imported in imported_modules(path, package):
            target = full[0] if full else imported
            if target != "__version__":
                arrows.append((name, name.split(os.sep)[0], target, imported))
    return arrows


# What namedtuples, scikit-learn and the interpreter call so themselves.
PUBLIC_BY_CUSTOM = {"_asdict", "_fields", "_getframe", "_replace", "_validate_data"}


def private_names(path):
    """The private attributes that a module reads of other objects, and those that it defines."""
    reads, defines = set(), set()
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defines.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defines.add(node.id)
        elif isinstance(node, ast.Attribute) and PRIVATE.match(node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not isinstance(node.ctx, ast.Load) or own:
                defines.add(node.attr)
            else:
                reads.add(node.attr)
    return reads - PUBLIC_BY_CUSTOM, defines


def check_private(package):
    """Sentences on private attributes that a folder reads of another's objects."""
    reads, defines = [], {}
    for path in files_below(package, ".py"):
        name = os.path.relpath(path, package)
        own_reads, own_defines = private_names(path)
        folder = os.path.dirname(name)
        reads.append((name, folder, own_reads))
        defines.setdefault(folder, set()).update(own_defines)
    return ["gear_transfer/{} reads .{}, which is private elsewhere".format(name, attribute)
            for name, folder, attributes in reads
            for attribute in sorted(attributes - defines[folder])]


def floor_of(floors, folder):
    """Number of a folder's floor, or None for a folder that has none."""
    for number, folders in enumerate(floors):
        if folder in folders:
            return number
    return None


def leads_up(floors, folder, target):
    """Whether an arrow from one folder to another does not lead to a lower floor."""
    if folder == target:
        return False
    own, other = floor_of(floors, folder), floor_of(floors, target)
    return own is None or other is None or other >= own


def find_circle(arrows):
    """The files of one circle, or []."""
    below = {}
    for source, target in arrows:
        below.setdefault(source, []).append(target)
    state = {}

    def visit(name, way):
        if state.get(name) == "done":
            return []
        if name in way:
            return way[way.index(name):] + [name]
        for other in below.get(name, []):
            circle = visit(other, way + [name])
            if circle:
                return circle
        state[name] = "done"
        return []

    for name in sorted(below):
        circle = visit(name, [])
        if circle:
            return circle
    return []


def check_core(folder):
    """Sentences on what is wrong between the folders of the C core."""
    arrows, wrong, seen = core_arrows(folder), [], {}
    for source, target in arrows:
        own, other = source.split("/")[0], target.split("/")[0]
        between_kernels = (own == other == "kernels" and
                           os.path.dirname(source) != os.path.dirname(target))
        if "/" not in target or not os.path.exists(os.path.join(folder, target)):
            wrong.append("csrc/{}: '{}' is not a path from csrc/".format(source, target))
        elif leads_up(CORE, own, other) or between_kernels:
            wrong.append("csrc/{} includes {}, which is not on a lower floor".format(source, target))
    # A source and its header are one piece: circles are looked for between pieces.
    pieces = [(os.path.splitext(one)[0], os.path.splitext(other)[0]) for one, other in arrows]
    circle = find_circle([pair for pair in pieces if pair[0] != pair[1]])
    if circle:
        wrong.append("csrc: a circle: " + " -> ".join(circle))
    for path in files_below(folder, ".c"):
        name = os.path.basename(path)
        if name in seen:
            wrong.append("{} and {} have one name, which objects go by".format(seen[name], path))
        seen[name] = path
    return wrong


def check_package(package):
    """Sentences on what is wrong between the folders of the package."""
    wrong = []
    for name, folder, target, imported in package_arrows(package):
        if leads_up(PACKAGE, folder, target):
            wrong.append("gear_transfer/{} imports from {}, which is not on a lower floor".format(
                name, target))
        elif folder != target and PRIVATE.match(imported) and imported != "_core":
            wrong.append("gear_transfer/{} imports {} of {}, which is private there".format(
                name, imported, target))
    return wrong


BOX = {"width": 120, "height": 34, "gap": 24, "floor": 74}


def draw_floors(title, floors, arrows, left):
    """SVG elements of one building, lowest floor at the bottom."""
    places, lines = {}, ['<text x="{}" y="24" class="title">{}</text>'.format(left, title)]
    for number, folders in enumerate(floors):
        for column, folder in enumerate(folders):
            places[folder] = (left + column * (BOX["width"] + BOX["gap"]),
                              44 + (len(floors) - 1 - number) * BOX["floor"])
    for source, target in sorted(set(arrows)):
        if source != target and source in places and target in places:
            (x, y), (to_x, to_y) = places[source], places[target]
            lines.append('<line x1="{}" y1="{}" x2="{}" y2="{}" marker-end="url(#tip)"/>'.format(
                x + BOX["width"] // 2, y + BOX["height"], to_x + BOX["width"] // 2, to_y - 4))
    for folder, (x, y) in sorted(places.items()):
        lines.append('<rect x="{}" y="{}" width="{}" height="{}" rx="5"/>'.format(
            x, y, BOX["width"], BOX["height"]))
        lines.append('<text x="{}" y="{}" text-anchor="middle">{}</text>'.format(
            x + BOX["width"] // 2, y + 22, folder))
    return lines


def draw(root, path):
    """Write the picture of both buildings."""
    core = [(one.split("/")[0], other.split("/")[0])
            for one, other in core_arrows(os.path.join(root, "csrc"))]
    package = [(folder, target)
               for _, folder, target, _ in package_arrows(os.path.join(root, "gear_transfer"))]
    height = 44 + BOX["floor"] * max(len(CORE), len(PACKAGE))
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 {}" font-family="sans-serif" '
             'font-size="14">'.format(height),
             '<style>rect{fill:#eef3f8;stroke:#48677f} line{stroke:#9bb0c0} .title{font-weight:bold}</style>',
             '<rect width="880" height="{}" style="fill:#ffffff;stroke:none"/>'.format(height),
             '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
             '<path d="M0,0 L6,3 L0,6 z" fill="#9bb0c0"/></marker></defs>']
    lines += draw_floors("csrc/", CORE, core, 30)
    lines += draw_floors("gear_transfer/", PACKAGE, package, 540)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines + ["</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", metavar="PICTURE.svg")
    given = parser.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    wrong = check_core(os.path.join(root, "csrc")) + check_package(os.path.join(root, "gear_transfer"))
    wrong += check_private(os.path.join(root, "gear_transfer"))
    for sentence in wrong:
        print(sentence)
    if given.draw:
        draw(root, given.draw)
    print("floors: {} breaches".format(len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Sphinx's settings: the pages of this folder and the docstrings of gear_transfer."""
import gear_transfer

project = "gear_transfer"
copyright = "its authors, MIT licence"
version = release = gear_transfer.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon",
              "sphinx.ext.viewcode"]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "py:obj"
html_theme = "furo"
html_title = "gear_transfer " + version
html_show_sphinx = False

autosummary_generate = True
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = False  # which would take the underscore from classes_
napoleon_use_rtype = False


def skip_member(app, what, name, member, skip, options):
    """Leave out what scikit-learn adds to estimators for its routing of metadata."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    """Connect the rules above; Sphinx calls it."""
    app.connect("autodoc-skip-member", skip_member)
